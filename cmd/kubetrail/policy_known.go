package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"kubetrail/internal/durable"
	"kubetrail/internal/recorded"
	"kubetrail/policy"
)

// policyFlag adds --policy to a verb whose answers depend on what was recorded.
func policyFlag(fs *pflag.FlagSet, name *string) {
	fs.StringVar(name, "policy", "", "`FILE` with the audit policy that was in force: tells whether nothing found means that there was nothing (default the one imported with the logs)")
}

// knownPolicy is the policy that was in force: the one named, else the one that was
// imported with the logs of the cluster; nil where neither is known.
func (a *app) knownPolicy(ctx context.Context, f *asked, r *opened, name string) (*recorded.Policy, error) {
	if name == "" {
		name = storedPolicy(ctx, f, r)
	}
	if name == "" {
		return nil, nil
	}
	doc, err := a.loadPolicy(name, policy.Newest)
	if err != nil {
		return nil, err
	}
	return &recorded.Policy{Doc: doc, Name: name}, nil
}

// storedPolicy is the file of the policy kept beside the trail on disk for the one cluster
// that is asked about, empty where there is none.
func storedPolicy(ctx context.Context, f *asked, r *opened) string {
	if f.server != "" || len(f.files) > 0 {
		return ""
	}
	cluster := f.cluster
	if cluster == "" {
		s, err := r.Summary(ctx)
		if err != nil || len(s.Sources) == 0 {
			return ""
		}
		cluster = s.Sources[0].Cluster
		for _, source := range s.Sources {
			if source.Cluster != cluster {
				return "" // of several: which one is asked about is not known
			}
		}
	}
	name := policyFile(f.data, cluster)
	if _, err := os.Stat(name); err != nil {
		return ""
	}
	return name
}

// policyFile is where the policy of a cluster is kept.
func policyFile(dir, cluster string) string {
	return filepath.Join(dir, "policies", "cluster-"+url.PathEscape(cluster)+".yaml")
}

// keepPolicy keeps a policy beside the trail, as the one under which all events of a
// cluster in it were recorded.
func (a *app) keepPolicy(dir, cluster, name string) error {
	data, err := a.readPolicy(name)
	if err != nil {
		return err
	}
	if _, err := policy.LoadAny(data, policy.Newest); err != nil {
		return failed(fmt.Errorf("%s: %w", name, err), "kubetrail policy lint "+name+" tells more")
	}
	file := policyFile(dir, cluster)
	kept, err := os.ReadFile(file)
	switch {
	case err == nil && bytes.Equal(kept, data):
		return nil
	case err == nil:
		return failed(fmt.Errorf("%s: events in this trail were recorded under another policy", file),
			"import without --policy, and name the policy when you ask; or remove that file if it was wrong")
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := durable.MkdirAll(filepath.Dir(file)); err != nil {
		return err
	}
	return durable.Write(durable.OS{}, file, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
