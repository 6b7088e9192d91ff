package kubetrail_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"kubetrail/audit"
	"kubetrail/internal/sample"
)

var update = flag.Bool("update", false, "rewrite outputs in the documents, and docs/reference/fields.md")

// TestMain is also the program curl, so that the examples of the API run on a
// machine that has only Go.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "curl" {
		os.Exit(curl(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// documents are the pages for people, in the order they are read.
func documents(t *testing.T) []string {
	t.Helper()
	names := []string{"README.md", "README.zh.md", "ARCHITECTURE.md", "CONTRIBUTING.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md", "changelog/*/*.md"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, more...)
	}
	return names
}

// TestConsole runs every console block of every document. A line that begins with
// "$ " is a command, which goes on in lines that begin with "> "; what follows is what
// it prints; ... stands for anything.
func TestConsole(t *testing.T) {
	if testing.Short() || runtime.GOOS == "windows" {
		t.Skip("needs time and a shell")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "./cmd/kubetrail")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "curl")); err != nil {
		t.Fatal(err)
	}
	for _, name := range documents(t) {
		text := read(t, name)
		if !strings.Contains(text, "```console\n") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			got := runConsole(t, text, bin)
			if got != text && *update {
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// runConsole runs the console blocks of a document in one directory and returns the
// document with the outputs that were met.
func runConsole(t *testing.T, text, bin string) string {
	dir := workplace(t)
	server := "http://127.0.0.1:8417"
	real := server
	var out strings.Builder
	for i, part := range strings.Split(text, "```") {
		if i > 0 {
			out.WriteString("```")
		}
		block, ok := strings.CutPrefix(part, "console\n")
		if !ok || i%2 == 0 {
			out.WriteString(part)
			continue
		}
		out.WriteString("console\n")
		for _, step := range strings.Split("\n"+block, "\n$ ")[1:] {
			shown, want := cutCommand(step)
			command := strings.ReplaceAll(shown, "\n> ", "\n")
			if want != "" && !strings.HasSuffix(want, "\n") {
				want += "\n"
			}
			if strings.Contains(command, server) && real == server {
				real = serve(t, dir, bin)
			}
			got := shell(t, dir, bin, strings.ReplaceAll(command, server, real))
			got = strings.ReplaceAll(strings.ReplaceAll(got, real, server), dir, "...")
			out.WriteString("$ " + shown + "\n")
			if !matches(want, got) {
				if !*update {
					t.Errorf("$ %s\nprints\n%swhere the document says\n%s", command, got, want)
				}
				want = got
			}
			out.WriteString(want)
		}
	}
	return out.String()
}

// cutCommand cuts a step into its command, as shown, and what it prints.
func cutCommand(step string) (shown, want string) {
	shown, want, _ = strings.Cut(step, "\n")
	for strings.HasPrefix(want, "> ") {
		line, rest, _ := strings.Cut(want, "\n")
		shown, want = shown+"\n"+line, rest
	}
	return shown, want
}

// workplace makes a directory with the log that the documents ask: under its name
// in the repository, and unpacked as audit.log.
func workplace(t *testing.T) string {
	dir := t.TempDir()
	packed, err := io.ReadAll(sample.Log())
	if err != nil {
		t.Fatal(err)
	}
	unpack, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unpack.Close()
	plain, err := unpack.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"internal/sample/sample.jsonl.zst": packed, "audit.log": plain} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// program prepares a command as a person would start it who has nothing set.
func program(t *testing.T, dir, bin, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = dir
	c.Env = []string{"HOME=" + dir, "TMPDIR=" + dir, "LANG=C", "PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH")}
	return c
}

func shell(t *testing.T, dir, bin, command string) string {
	out, err := program(t, dir, bin, "sh", "-c", command).CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Errorf("$ %s: %v", command, err)
	}
	return string(out)
}

// serve starts a server on the sample and returns its address.
func serve(t *testing.T, dir, bin string) string {
	c := program(t, dir, bin, filepath.Join(bin, "kubetrail"), "serve", "--sample", "--listen", "127.0.0.1:0")
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(lines.Text()); url != "" {
			go io.Copy(io.Discard, out)
			t.Cleanup(func() { c.Wait() })
			return url
		}
	}
	t.Fatal("serve printed no address")
	return ""
}

// matches compares an output with what a document says, where ... alone on a line
// stands for any lines and elsewhere for anything on its line.
//
// How long something took and what it came to on disk differ from run to run.
func matches(want, got string) bool {
	vary := regexp.MustCompile(`in \d[0-9.]*m?s\b|[0-9.]+ [KM]iB on disk`)
	want, got = vary.ReplaceAllString(want, "#"), vary.ReplaceAllString(got, "#")
	var b strings.Builder
	b.WriteString(`\A`)
	for line := range strings.Lines(want) {
		if line == "...\n" {
			b.WriteString(`(?:.*\n)*`)
			continue
		}
		b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, `.*`))
	}
	return regexp.MustCompile(b.String() + `\z`).MatchString(got)
}

// curl does the little of curl that the documents need: curl [-s] [-i] [-H HEADER] URL.
func curl(args []string) int {
	var r *http.Request
	head, headers := false, [][2]string{}
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-s":
		case a == "-i":
			head = true
		case a == "-H" && i+1 < len(args):
			i++
			name, value, _ := strings.Cut(args[i], ": ")
			headers = append(headers, [2]string{name, value})
		default:
			var err error
			if r, err = http.NewRequest("GET", a, nil); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 3
			}
		}
	}
	for _, h := range headers {
		r.Header.Set(h[0], h[1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 7
	}
	defer answer.Body.Close()
	if head {
		fmt.Printf("%s %s\nContent-Type: %s\n\n", answer.Proto, answer.Status, answer.Header.Get("Content-Type"))
	}
	_, _ = io.Copy(os.Stdout, answer.Body)
	return 0
}

// TestLanguages checks that the Chinese pages are those of the English ones, heading
// by heading and example by example.
func TestLanguages(t *testing.T) {
	englishOnly := map[string]string{
		"docs/benchmarks.md":  "a table that bench writes",
		"docs/policy-lint.md": "a reference whose examples are tests; kubetrail policy lint --lang zh says the same",
	}
	pairs := [][2]string{{"README.md", "README.zh.md"}}
	en, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	en = slices.DeleteFunc(en, func(name string) bool { return englishOnly[filepath.ToSlash(name)] != "" })
	zh, err := filepath.Glob("docs/zh/*.md")
	if err != nil || len(en) == 0 || len(zh) != len(en) {
		t.Errorf("%d pages in English, %d in Chinese", len(en), len(zh))
	}
	for _, name := range en {
		pairs = append(pairs, [2]string{name, filepath.Join("docs/zh", filepath.Base(name))})
	}
	for _, p := range pairs {
		if a, b := outline(read(t, p[0])), outline(read(t, p[1])); !slices.Equal(a, b) {
			t.Errorf("%s and %s differ in what their headings and examples are:\n%q\n%q", p[0], p[1], a, b)
		}
	}
}

// outline returns the levels of the headings of a page and the commands of its
// examples, in order.
func outline(text string) []string {
	var all []string
	for i, part := range strings.Split(text, "```") {
		for line := range strings.Lines(part) {
			level := line[:len(line)-len(strings.TrimLeft(line, "#"))]
			switch {
			case i%2 == 0 && level != "" && strings.HasPrefix(line[len(level):], " "):
				all = append(all, level)
			case i%2 == 1 && (strings.HasPrefix(line, "$ ") || strings.HasPrefix(line, "> ")):
				all = append(all, strings.ReplaceAll(strings.TrimSpace(line), " --lang zh", ""))
			}
		}
	}
	return all
}

// TestLinks checks that what the documents point to is there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)
	for _, name := range documents(t) {
		var prose strings.Builder
		for i, part := range strings.Split(read(t, name), "```") {
			if i%2 == 0 {
				prose.WriteString(part)
			}
		}
		for _, m := range link.FindAllStringSubmatch(prose.String(), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s points to %s: %v", name, m[1], err)
			}
		}
	}
}

// TestFieldsReference keeps the table of fields what the program knows.
func TestFieldsReference(t *testing.T) {
	const name = "docs/reference/fields.md"
	types := map[audit.Type]string{audit.Keyword: "keyword", audit.Prose: "text", audit.Number: "number",
		audit.Time: "time", audit.List: "list", audit.Map: "map", audit.Object: "object"}
	var b bytes.Buffer
	b.WriteString("# Fields · 字段\n\n" +
		"Every name that a question, `--by` and `--fields` understand; `kubetrail fields` prints the same. " +
		"A path below a map or an object goes on after a dot: `annotations.k8s.io/deprecated`, `requestObject.spec.replicas`.\n\n" +
		"查询语句、`--by` 与 `--fields` 可用的全部名称,与 `kubetrail fields` 的输出一致。" +
		"map 与 object 之下的路径写在点号之后:`annotations.k8s.io/deprecated`、`requestObject.spec.replicas`。\n\n" +
		"<!-- written by go test . -run TestFieldsReference -update -->\n" +
		"| field | alias | type | meaning | 含义 |\n|---|---|---|---|---|\n")
	for _, f := range audit.Fields() {
		alias := ""
		if f.Alias != "" {
			alias = "`" + f.Alias + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.Path, alias, types[f.Type], f.Doc, f.DocZH)
	}
	if *update {
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, name) != b.String() {
		t.Errorf("%s is not what audit.Fields says; write it with -update", name)
	}
}

// TestNoForeignPaths finds what only exists on the machine of whoever wrote it.
func TestNoForeignPaths(t *testing.T) {
	foreign := regexp.MustCompile("(?m)(^|[\\s\"'`(=:,])/(work|root|home/\\w+|Users/\\w+|tmp/\\w)/")
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil || path == ".git" && !d.IsDir(): // in a second work tree it is a file
			return err
		case path == ".git" || path == "bin":
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || bytes.IndexByte(text, 0) >= 0 { // compressed data, programs
			return err
		}
		if m := foreign.Find(text); m != nil {
			t.Errorf("%s holds a path of one machine: %q", path, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestProxyExceptions wants the manual of the proxy to say, in both languages, all that
// test/e2e found its events to differ in from those of kube-apiserver.
func TestProxyExceptions(t *testing.T) {
	table := read(t, "test/e2e/testdata/proxy-exceptions.txt")
	if !strings.Contains(read(t, "docs/proxy.md"), "\n\n"+table+"\n") {
		t.Error("docs/proxy.md has not the table of test/e2e/testdata/proxy-exceptions.txt")
	}
	_, zh, _ := strings.Cut(read(t, "docs/zh/proxy.md"), "| 字段 |")
	zh, _, _ = strings.Cut("| 字段 |"+zh, "\n\n")
	if got, want := strings.Count(zh+"\n", "|\n"), strings.Count(table, "|\n"); got != want {
		t.Errorf("docs/zh/proxy.md has %d rows of that table, want %d", got, want)
	}
}
