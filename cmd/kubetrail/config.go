package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"kubetrail/internal/config"
	"kubetrail/internal/output"
	"kubetrail/internal/serve"
)

const configLong = `What kubetrail serve can be told stands in one file of YAML:

  apiVersion: kubetrail.io/v1alpha1
  kind: Config
  data: /var/lib/kubetrail
  clusters:
  - name: prod
    sources:
    - path: /var/log/kubernetes/audit/audit.log

It is read strictly, and again when it changes. Tokens and keys stand in files
of their own, which it names.`

const configExample = `  # is it right?
  kubetrail config check /etc/kubetrail/config.yaml

  # everything that holds, and where each value comes from
  kubetrail config print --effective /etc/kubetrail/config.yaml

  # what serve does when it is told nothing
  kubetrail config print --effective`

// configFlags are the flags of config's verbs.
type configFlags struct {
	asked
	files     bool
	effective bool
}

func (a *app) configVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Check and print the configuration of serve",
		Long:    configLong,
		Example: configExample,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, c := range []*cobra.Command{a.configCheckVerb(), a.configPrintVerb()} {
		cmd.AddCommand(c)
	}
	return cmd
}

func (a *app) configCheckVerb() *cobra.Command {
	f := &configFlags{}
	cmd := &cobra.Command{
		Use:     "check FILE",
		Short:   "Tell what is wrong with a configuration; exit 3 if unusable",
		Example: "  kubetrail config check config.yaml\n  kubetrail config check --files config.yaml   # on the machine where it is used",
		Args:    oneConfig(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.checkConfig(f, args[0]) },
	}
	cmd.Flags().BoolVar(&f.files, "files", false, "Read the tokens, keys and certificates that it names, too")
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "Output `FORMAT`: table, json, jsonl, yaml")
	cmd.Flags().StringVar(&f.lang, "lang", a.language(), "Language of prose: en or zh")
	return cmd
}

func (a *app) configPrintVerb() *cobra.Command {
	f := &configFlags{}
	cmd := &cobra.Command{
		Use:     "print [FILE]",
		Short:   "Print what a configuration says, and where it says so",
		Example: "  kubetrail config print --effective config.yaml\n  kubetrail config print --effective -o json",
		Args:    oneConfig(0),
		RunE:    func(_ *cobra.Command, args []string) error { return a.printConfig(f, args) },
	}
	cmd.Flags().BoolVar(&f.effective, "effective", false, "With the defaults of what the file leaves out")
	cmd.Flags().StringVarP(&f.output, "output", "o", "yaml", "Output `FORMAT`: yaml, json")
	cmd.Flags().StringVar(&f.lang, "lang", a.language(), "Language of prose: en or zh")
	return cmd
}

// oneConfig wants one file, or at least so many.
func oneConfig(least int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > 1 {
			return usage("- is standard input", "want one file, not %d", len(args))
		}
		return nil
	}
}

// readConfig reads a configuration file, - for standard input.
func (a *app) readConfig(name string) ([]byte, error) {
	in := a.in
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, failed(err, "kubetrail config --help shows a small one")
		}
		defer file.Close()
		in = file
	}
	return io.ReadAll(io.LimitReader(in, config.MaxBytes+1)) // one more is a finding
}

// loadConfig reads a file as serve would, with no flags beside it; none is nothing but
// the defaults.
func (a *app) loadConfig(name string) (*config.File, []config.Finding, error) {
	defaults := config.Defaults(a.dataDir())
	if name == "" {
		file, findings := config.OfFlags(defaults, nil)
		return file, findings, nil
	}
	data, err := a.readConfig(name)
	if err != nil {
		return nil, nil, err
	}
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, nil, err
	}
	file, findings := config.Load(data, dir, defaults)
	return file, findings, nil
}

func (a *app) checkConfig(f *configFlags, name string) error {
	f.color = "auto"
	if err := f.check("table, json, jsonl, yaml"); err != nil {
		return err
	}
	file, findings, err := a.loadConfig(name)
	if err != nil {
		return err
	}
	if f.files && !config.Bad(findings) {
		findings = append(findings, a.checkFiles(file)...)
	}
	if err := a.printConfigFindings(f, name, findings); err != nil {
		return err
	}
	if config.Bad(findings) {
		return errFindings
	}
	return nil
}

// checkFiles tells which of the files that a configuration names cannot be used, in its
// order.
func (a *app) checkFiles(file *config.File) (all []config.Finding) {
	add := func(path string, err error, warning bool) {
		x := config.Finding{Position: file.At(path), Path: path, Warning: warning, Text: config.Text{En: err.Error(), Zh: err.Error()}}
		if h, ok := errors.AsType[interface {
			error
			Hint() string
		}](err); ok {
			x.Hint = config.Text{En: h.Hint(), Zh: h.Hint()}
		}
		all = append(all, x)
	}
	for path, err := range serve.AccessOf(file.Config).CheckFiles() {
		add(path, err, false)
	}
	for i, c := range file.Config.Clusters {
		for j, s := range c.Scrape {
			for field, name := range map[string]string{"tokenFile": s.TokenFile, "caFile": s.CAFile} {
				if name == "" {
					continue
				}
				if _, err := os.ReadFile(name); err != nil {
					add(fmt.Sprintf("clusters[%d].scrape[%d].%s", i, j, field), err, true) // serve collects all the same
				}
			}
		}
	}
	slices.SortFunc(all, func(x, y config.Finding) int { return cmp.Or(x.Line-y.Line, x.Column-y.Column) })
	return all
}

func (a *app) printConfigFindings(f *configFlags, name string, findings []config.Finding) error {
	if f.output != "table" {
		return output.Rows(a.stdout(), f.output, "ConfigCheck", map[string]any{"file": name, "usable": !config.Bad(findings)}, len(findings), func(b []byte, i int) []byte {
			x := findings[i]
			b = fmt.Appendf(b, `{"line":%d,"column":%d,"severity":%q`, x.Line, x.Column, severity(x))
			b = output.AppendString(append(b, `,"path":`...), x.Path)
			b = output.AppendString(append(b, `,"text":`...), x.Text.In(f.lang))
			return append(output.AppendString(append(b, `,"hint":`...), x.Hint.In(f.lang)), '}')
		})
	}
	w := a.stdout()
	for _, x := range findings {
		printFinding(w, name, x, f.lang)
	}
	if len(findings) == 0 {
		fmt.Fprintln(w, map[string]string{"en": "nothing wrong was found", "zh": "没有发现问题"}[f.lang])
	}
	return w.Flush()
}

func severity(x config.Finding) string {
	if x.Warning {
		return "warning"
	}
	return "error"
}

// printFinding prints a finding as compilers do, and below it what to do about it.
func printFinding(w io.Writer, name string, x config.Finding, lang string) {
	fmt.Fprintf(w, "%s:%d:%d: %s: %s\n", output.Plain(name, false), x.Line, x.Column, severity(x), output.Plain(x.Text.In(lang), false))
	if hint := x.Hint.In(lang); hint != "" {
		fmt.Fprintf(w, "    %s\n", output.Plain(hint, false))
	}
}

func (a *app) printConfig(f *configFlags, args []string) error {
	f.color = "auto"
	if err := f.check("yaml, json"); err != nil {
		return err
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	file, findings, err := a.loadConfig(name)
	if err != nil {
		return err
	}
	for _, x := range findings {
		printFinding(a.err, name, x, f.lang)
	}
	if config.Bad(findings) {
		return errFindings
	}
	if f.output == "json" {
		_, err = a.out.Write(file.JSON(f.effective))
	} else {
		_, err = a.out.Write(file.Text(f.lang, f.effective))
	}
	return err
}
