package server

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"kubetrail/audit"
	"kubetrail/internal/access"
	"kubetrail/internal/config"
	"kubetrail/internal/trail"
	"kubetrail/internal/trail/file"
)

// tokenNamed writes a token to a file of its own and returns what a configuration says
// about it. The token itself is secret-of-NAME-0123456789.
func tokenNamed(t *testing.T, dir, name string, clusters []string, roles ...config.Role) config.Token {
	t.Helper()
	path := dir + "/" + name + ".token"
	if err := os.WriteFile(path, []byte("secret-of-"+name+"-0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Token{Name: name, File: path, Roles: roles, Clusters: clusters}
}

func bearer(name string) string { return "Bearer secret-of-" + name + "-0123456789" }

// TestRoles asks every route with every role, and wants each answered or refused as the
// table of docs/configuration.md says.
func TestRoles(t *testing.T) {
	dir := t.TempDir()
	var tokens []config.Token
	for _, r := range config.Roles() {
		tokens = append(tokens, tokenNamed(t, dir, string(r), nil, r))
	}
	tokens = append(tokens, tokenNamed(t, dir, "prodhook", []string{"prod"}, config.Webhook), tokenNamed(t, dir, "prodread", []string{"prod"}, config.Read))
	s, in := newReceiver(t, Config{Access: access.Rules{Tokens: tokens}})
	for _, rt := range s.allRoutes() {
		method, path, _ := strings.Cut(rt.pattern, " ")
		path = strings.NewReplacer("{seq}", "1", "{cluster}", "prod", "{server}", "cp-1", "{$}", "").Replace(path)
		role := rt.role
		if role == "" {
			role = config.Read
		}
		for _, name := range []string{"read", "webhook", "agent", "metrics", "prodhook", "nobody"} {
			want := name == string(role) || role == config.Metrics && name == "read" || role == config.Webhook && name == "prodhook"
			r := httptest.NewRequest(method, path, strings.NewReader(""))
			r.Host = "localhost"
			r.Header.Set("Authorization", bearer(name))
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			refused := w.Code == http.StatusForbidden || w.Code == http.StatusUnauthorized
			if refused != (!want && !rt.open) || name == "nobody" && !rt.open && w.Code != http.StatusUnauthorized {
				t.Errorf("%s with %s: %d %s", rt.pattern, name, w.Code, w.Body)
			}
		}
	}
	if w := get(s, "/metrics", "Authorization", bearer("prodread")); w.Code != http.StatusForbidden {
		t.Errorf("metrics, which name all clusters, for a token that reads one: %d", w.Code)
	}
	for path, code := range map[string]int{"/webhook/prod": 200, "/webhook/prod/cp-1": 200, "/webhook/test": 403, "/webhook/prod.": 403} {
		if w := post(s, path, emptyList, "Authorization", bearer("prodhook")); w.Code != code {
			t.Errorf("%s with a token for prod: %d %s", path, w.Code, w.Body)
		}
	}
	if len(in.bodies) != 2 {
		t.Errorf("%d bodies were kept, want 2", len(in.bodies))
	}
}

// TestReadSomeClusters wants a token for some clusters to find nothing of the others,
// whatever is asked.
func TestReadSomeClusters(t *testing.T) {
	dir := t.TempDir()
	line := func(id string) string {
		return `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"` + id + `","stage":"ResponseComplete","requestURI":"/","verb":"get",` +
			`"user":{"username":"` + id + `"},"requestReceivedTimestamp":"2026-11-20T15:00:00.000000Z","stageTimestamp":"2026-11-20T15:00:00.000000Z"}` + "\n"
	}
	var all []trail.Reader
	for _, cluster := range []string{"prod", "test", `a"b\*`} {
		text := line("of-" + cluster[:1])
		all = append(all, file.Open(file.Config{Cluster: cluster, Inputs: []file.Input{{Name: cluster, Size: int64(len(text)),
			Each: func(visit func(string, io.Reader) error, _ func(*audit.Damage)) error {
				return visit(cluster, strings.NewReader(text))
			}}}}))
	}
	for i, c := range []struct {
		clusters []string
		held     int // the trail
		events   int
	}{
		{[]string{"prod"}, 0, 1}, {[]string{"prod", "test"}, 1, 1}, {[]string{"prod"}, 1, 0}, {[]string{"p*"}, 0, 0}, {[]string{"PROD"}, 0, 0},
		{[]string{`a"b\*`}, 2, 1}, {[]string{`a`}, 2, 0},
	} {
		s := newServer(t, Config{Trail: all[c.held], Access: access.Rules{Tokens: []config.Token{tokenNamed(t, dir, fmt.Sprint("t", i), c.clusters, config.Read)}}})
		s.ready.Store(true)
		ask := func(target string) string {
			w := get(s, target, "Authorization", bearer(fmt.Sprint("t", i)), "Accept", "application/json")
			return fmt.Sprint(w.Code, " ", w.Body)
		}
		found := c.events == 1
		for target, want := range map[string]string{
			"/api/v1/events": `"username":"of-`, "/api/v1/events?query=verb:get+or+not+verb:get": `"username":"of-`,
			"/api/v1/events?query=id:of*": `"username":"of-`, "/api/v1/events/0": `"username":"of-`,
			"/api/v1/aggregate?by=user": `"key":["of-`, "/api/v1/histogram?every=1h": `"count":1`,
			"/api/v1/summary": `"name":`, "/": "of-", "/events/0": "of-",
		} {
			got := ask(target)
			if strings.Contains(got, want) != found && target != "/api/v1/summary" || strings.HasPrefix(got, "5") {
				t.Errorf("%v of %d: %s: %s", c.clusters, c.held, target, got)
			}
		}
		for _, rt := range s.allRoutes() { // those of today and of tomorrow
			path, asks := strings.CutPrefix(rt.pattern, "GET ")
			path = strings.NewReplacer("{seq}", "0", "{$}", "").Replace(path)
			if !asks || found || rt.endless || rt.role != "" {
				continue
			}
			if got := ask(path); strings.Contains(got, "of-") || strings.Contains(got, `"cluster":"`) && c.held < 2 {
				t.Errorf("%v of %d: %s tells of other clusters: %s", c.clusters, c.held, path, got)
			}
		}
		if got := ask("/api/v1/summary"); !strings.Contains(got, fmt.Sprintf(`"events":%d,`, c.events)) || !found && strings.Contains(got, `"cluster"`) {
			t.Errorf("%v of %d: %s", c.clusters, c.held, got)
		}
	}
}

// TestSetAccess changes who may do what while the server runs.
func TestSetAccess(t *testing.T) {
	dir := t.TempDir()
	first, second := tokenNamed(t, dir, "first", nil, config.Read), tokenNamed(t, dir, "second", nil, config.Metrics)
	s := newServer(t, Config{Listen: "0.0.0.0:0", Access: access.Rules{Tokens: []config.Token{first}}})
	s.ready.Store(true)
	ask := func(name, path string) int { return get(s, path, "Authorization", bearer(name)).Code }
	if ask("first", "/api/v1/summary") != 200 || ask("second", "/metrics") != 401 {
		t.Error("before the change")
	}
	if err := s.SetAccess(access.Rules{Tokens: []config.Token{second}}); err != nil {
		t.Fatal(err)
	}
	if ask("first", "/api/v1/summary") != 401 || ask("second", "/metrics") != 200 || ask("second", "/api/v1/summary") != 403 {
		t.Error("after the change")
	}
	for _, a := range []access.Rules{
		{}, {Tokens: []config.Token{{Name: "x", File: dir + "/none"}}}, {Tokens: []config.Token{first}, TLS: config.TLS{Cert: "a", Key: "b"}},
	} {
		if err := s.SetAccess(a); err == nil {
			t.Errorf("%+v is taken", a)
		}
	}
	if ask("second", "/metrics") != 200 {
		t.Error("an access that is no good has put the former one out of force")
	}
}

// TestCertificates tells client certificates apart by their subject.
func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	ca := newCA(t, dir, "ca")
	cert, key := newCert(t, dir, "server", ca)
	rules := access.Rules{TLS: config.TLS{Cert: cert, Key: key, ClientCA: dir + "/ca.pem"}, Certificates: []config.Certificate{
		{Name: "a", CommonName: "alice", Roles: []config.Role{config.Read}},
		{Name: "b", Organization: "agents", Roles: []config.Role{config.Metrics}},
		{Name: "c", CommonName: "bob", Organization: "agents", Roles: []config.Role{config.Read}},
	}}
	s := newServer(t, Config{Access: rules})
	start(t, s)
	ask := func(path string, pair tls.Certificate) int {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{pair}}}}
		resp, err := client.Get(s.URL() + path)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	alice, bob := loadPair(t, dir, "alice", ca), loadPair(t, dir, "bob", ca)
	agent, agentBob := loadPair(t, dir, "x/agents", ca), loadPair(t, dir, "bob/agents", ca)
	for _, c := range []struct {
		who           string
		pair          tls.Certificate
		read, metrics int
	}{{"alice", alice, 200, 200}, {"bob", bob, 401, 401}, {"an agent", agent, 403, 200}, {"the agent bob", agentBob, 200, 200}} {
		if read, metrics := ask("/api/v1/summary", c.pair), ask("/metrics", c.pair); read != c.read || metrics != c.metrics {
			t.Errorf("%s: questions %d, metrics %d, want %d, %d", c.who, read, metrics, c.read, c.metrics)
		}
	}
	newCert(t, dir, "renewed", ca)
	rules.TLS = config.TLS{Cert: dir + "/renewed.crt", Key: dir + "/renewed.key"}
	rules.Certificates = nil
	rules.Tokens = []config.Token{tokenNamed(t, dir, "t", nil, config.Read)}
	if err := s.SetAccess(rules); err != nil {
		t.Fatal(err)
	}
	if code := ask("/api/v1/summary", alice); code != 401 {
		t.Errorf("certificates are no way in any more, and alice gets %d", code)
	}
}

// TestTokensAreNotTold in messages, whatever happens to them.
func TestTokensAreNotTold(t *testing.T) {
	dir := t.TempDir()
	var log strings.Builder
	bad := config.Token{Name: "bad", File: dir + "/bad", Roles: config.Roles()}
	if err := os.WriteFile(bad.File, []byte("the secret has spaces in it"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(Config{Trail: trailOf(nil), Access: access.Rules{Tokens: []config.Token{bad}}})
	if err == nil || strings.Contains(err.Error(), "secret has") {
		t.Errorf("%v", err)
	}
	good := tokenNamed(t, dir, "good", nil, config.Webhook)
	s := newServer(t, Config{Access: access.Rules{Tokens: []config.Token{good}}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	w := get(s, "/api/v1/summary", "Authorization", bearer("good"))
	if w.Code != http.StatusForbidden {
		t.Fatal(w.Code)
	}
	if err := os.WriteFile(good.File, []byte("secret-of"), 0o600); err != nil {
		t.Fatal(err)
	}
	get(s, "/api/v1/summary", "Authorization", bearer("good"))
	if text := log.String() + w.Body.String() + strings.Join(slices.Collect(func(yield func(string) bool) {
		for k, v := range w.Header() {
			if !yield(k + fmt.Sprint(v)) {
				return
			}
		}
	}), ""); strings.Contains(text, "secret-of") || !strings.Contains(log.String(), "no good") {
		t.Errorf("%s", text)
	}
}
