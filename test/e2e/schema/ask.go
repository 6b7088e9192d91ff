package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"kubetrail/test/e2e/plane"
)

// ask starts a control plane and writes what it says of its APIs into dir.
func ask(ctx context.Context, dir, mod string) (err error) {
	bin, err := plane.Build(ctx, mod, os.Stderr)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "plane")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	p, err := plane.New(ctx, work, bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	policy := filepath.Join(work, "policy.yaml")
	if err := os.WriteFile(policy, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n"), 0o600); err != nil {
		return err
	}
	s, err := p.AddServer(ctx, "schema", plane.Audit{Policy: policy, Log: filepath.Join(work, "audit.log")})
	if err != nil {
		return err
	}
	config, err := p.PKI.TLS("admin")
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	text, err := get(ctx, client, s.URL+"/apis")
	if err != nil {
		return err
	}
	var groups struct {
		Groups []struct {
			Versions []struct{ GroupVersion string }
		}
	}
	if err := json.Unmarshal(text, &groups); err != nil {
		return err
	}
	paths := []string{"api/v1"}
	for _, g := range groups.Groups {
		for _, v := range g.Versions {
			paths = append(paths, "apis/"+v.GroupVersion)
		}
	}
	for _, path := range paths {
		name := strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(path, "apis/"), "api/"), "/", "_") + ".json"
		for kind, url := range map[string]string{"discovery-": s.URL + "/" + path, "v3-": s.URL + "/openapi/v3/" + path} {
			text, err := get(ctx, client, url)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, kind+name), text, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

func get(ctx context.Context, c *http.Client, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	answer, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, answer.Status)
	}
	return text, err
}

// A resource is one entry of discovery.
type resource struct {
	Name, SingularName, Kind string
	Group, Version           string // only where they differ from those of the list
	Namespaced               bool
	Verbs, ShortNames        []string
}

type resourceList struct {
	GroupVersion string
	Resources    []resource
}

func (l resourceList) groupVersion() (string, string) {
	if group, version, ok := strings.Cut(l.GroupVersion, "/"); ok {
		return group, version
	}
	return "", l.GroupVersion
}

func discovery(dir string) ([]resourceList, error) {
	files, err := filepath.Glob(filepath.Join(dir, "discovery-*.json"))
	if err != nil {
		return nil, err
	}
	var all []resourceList
	for _, file := range files {
		var l resourceList
		if err := readJSON(file, &l); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// kinds returns the kinds that are served, as group/version/Kind.
func kinds(dir string) (map[string]bool, error) {
	lists, err := discovery(dir)
	served := map[string]bool{}
	for _, l := range lists {
		group, version := l.groupVersion()
		for _, r := range l.Resources {
			if r.Version != "" {
				served[r.Group+"/"+r.Version+"/"+r.Kind] = true
			} else {
				served[group+"/"+version+"/"+r.Kind] = true
			}
		}
	}
	return served, err
}

// readResources writes the table of resources.
func readResources(dir string) (string, error) {
	lists, err := discovery(dir)
	if err != nil {
		return "", err
	}
	var lines []string
	for _, l := range lists {
		group, version := l.groupVersion()
		for _, r := range l.Resources {
			if strings.Contains(r.Name, "/") {
				continue
			}
			var subs []string
			for _, s := range l.Resources {
				if sub, ok := strings.CutPrefix(s.Name, r.Name+"/"); ok {
					subs = append(subs, sub+"="+list(s.Verbs))
				}
			}
			sort.Strings(subs)
			scope := "cluster"
			if r.Namespaced {
				scope = "namespaced"
			}
			lines = append(lines, strings.Join([]string{dash(group), version, r.Name, r.SingularName, r.Kind,
				dash(strings.Join(r.ShortNames, ",")), scope, list(r.Verbs), dash(strings.Join(subs, " "))}, "\t"))
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n") + "\n", nil
}

func list(verbs []string) string {
	verbs = slices.Sorted(slices.Values(verbs))
	return strings.Join(verbs, ",")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
