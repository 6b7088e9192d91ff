package main

import (
	"github.com/spf13/cobra"

	"kubetrail/audit"
	"kubetrail/internal/output"
)

const fieldsLong = `Fields lists every field that a question, --by or --fields can name. Behind a
Map comes a key, behind an Object a path: annotations.k8s.io/deprecated,
requestObject.spec.replicas.`

func (a *app) fieldsVerb() *cobra.Command {
	f := &asked{}
	cmd := &cobra.Command{
		Use:   "fields",
		Short: "List the fields that questions can name",
		Long:  fieldsLong,
		Args:  noArgs,
		Example: `  # every field with its alias and type
  kubetrail fields`,
		RunE: func(*cobra.Command, []string) error { return a.fields(f) },
	}
	f.how(cmd.Flags(), a, countOutputs)
	return cmd
}

func (a *app) fields(f *asked) error {
	if err := f.check(countOutputs); err != nil {
		return err
	}
	all := audit.Fields()
	if f.output != "table" {
		return output.Rows(a.stdout(), f.output, "FieldList", map[string]any{}, len(all), func(b []byte, i int) []byte {
			return appendFieldEntry(b, all[i])
		})
	}
	t := output.Table{W: a.stdout(), Headers: !f.noHeaders, Fit: terminal(a.out),
		Titles: []string{"FIELD", "ALIAS", "TYPE", "MEANING"}, Soft: []int{3}}
	for _, x := range all {
		doc := x.Doc
		if f.lang == "zh" {
			doc = x.DocZH
		}
		if err := t.Add(x.Path, output.Cell(x.Alias), x.Type.String(), doc); err != nil {
			return err
		}
	}
	return t.Flush()
}

func appendFieldEntry(b []byte, x audit.Field) []byte {
	for _, m := range []struct{ lead, value string }{
		{`{"path":`, x.Path}, {`,"alias":`, x.Alias}, {`,"type":`, x.Type.String()},
		{`,"doc":`, x.Doc}, {`,"docZH":`, x.DocZH},
	} {
		b = append(b, m.lead...)
		b = output.AppendString(b, m.value)
	}
	return append(b, '}')
}
