package main

import (
	"context"
	"encoding/json"
	"net/url"

	"github.com/spf13/cobra"

	"kubetrail/internal/skew"
	"kubetrail/internal/trail/remote"
)

const serversOutputs = "table, json, jsonl"

const serversLong = `Servers lists the API servers that were observed: how many of their events
there are, from when to when, out of how many sources, and for how many it is
known where the request went on to.

CLOCK tells by how much the clock of an API server is ahead of that of the
first one of its cluster. It is estimated from the order of their writes, which
etcd numbers; "0s ±0.4s" may be no difference at all. A ~ says that a clock was
set meanwhile.`

const serversExample = `  # who writes to this trail, and are their clocks right?
  kubetrail servers

  # of a running server, since yesterday
  kubetrail servers --server https://kubetrail.example:8417 --since 1d`

func (a *app) serversVerb() *cobra.Command {
	f := &asked{}
	cmd := &cobra.Command{
		Use:     "servers [QUESTION]",
		Short:   "List the API servers, and how their clocks differ",
		Long:    serversLong,
		Example: serversExample,
		RunE:    func(cmd *cobra.Command, words []string) error { return a.servers(cmd.Context(), f, words) },
	}
	f.where(cmd.Flags(), a)
	f.which(cmd.Flags())
	f.how(cmd.Flags(), a, serversOutputs)
	return cmd
}

func (a *app) servers(ctx context.Context, f *asked, words []string) error {
	if err := f.check(serversOutputs); err != nil {
		return err
	}
	q, err := f.question(words, a.now())
	if err != nil {
		return err
	}
	r, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer r.close()
	var list struct {
		APIVersion string        `json:"apiVersion"`
		Kind       string        `json:"kind"`
		Items      []skew.Server `json:"items"`
	}
	if t, ok := r.Reader.(*remote.Trail); ok {
		v := url.Values{}
		if q.Where != nil {
			v.Set("query", q.Where.String())
		}
		for name, text := range map[string]string{"since": f.since, "until": f.until} {
			if text != "" {
				v.Set(name, text)
			}
		}
		err = t.Ask(ctx, "servers", v, &list)
	} else {
		list.Items, err = skew.Find(ctx, r.Reader, q)
	}
	if err == nil && f.output == "table" {
		err = skew.Text(a.page(f), list.Items)
	} else if err == nil {
		list.APIVersion, list.Kind = "kubetrail.io/v1alpha1", "ServerList"
		if list.Items == nil {
			list.Items = []skew.Server{}
		}
		w := a.stdout()
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		if f.output == "json" {
			e.SetIndent("", "  ")
			err = e.Encode(list)
		}
		for i := 0; f.output == "jsonl" && err == nil && i < len(list.Items); i++ {
			err = e.Encode(list.Items[i])
		}
		if err == nil {
			err = w.Flush()
		}
	}
	return a.finish(f, r, len(list.Items), err)
}
