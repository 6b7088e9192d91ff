package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is what -o json prints. Fields may be added.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// buildVersion reads what the Go linker wrote into the binary.
func buildVersion() version {
	v := version{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if m := info.Main.Version; m != "" && m != "(devel)" {
		v.Version = m
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (a *app) versionVerb() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		Example: `  # for people
  kubetrail version

  # for scripts
  kubetrail version -o json`,
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			switch output {
			case "text":
				_, err := fmt.Fprintf(a.out, "kubetrail %s %s %s\n", v.Version, v.Go, v.Platform)
				return err
			case "json":
				e := json.NewEncoder(a.out)
				e.SetIndent("", "  ")
				return e.Encode(v)
			}
			return usage("choose one of text, json", "unknown output format %q", output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "Output `FORMAT`: text, json")
	return cmd
}
