package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kubetrail/internal/output"
	"kubetrail/policy/profile"
)

const policyProfileLong = `Profile prints an audit policy to start from; every rule says in a comment why
it is there. Without a name it lists the profiles, the tiers first, each of
which records all that the one before it records, and what each made of the
traffic of a real cluster: events, bytes, an estimate of what bodies add, and
bytes per request.`

func (a *app) policyProfileVerb() *cobra.Command {
	f := &asked{}
	cmd := &cobra.Command{
		Use:   "profile [NAME]",
		Short: "Print a policy to start from",
		Long:  policyProfileLong,
		Example: `  # what is there, and what does it cost?
  kubetrail policy profile

  # start with one, comments in Chinese
  kubetrail policy profile default --lang zh > audit-policy.yaml`,
		ValidArgs: profileNames(), // what the shell completes
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("give one name", "unexpected argument %q", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listProfiles(f)
			}
			return a.printProfile(f, args[0])
		},
	}
	f.how(cmd.Flags(), a, countOutputs)
	return cmd
}

func (a *app) printProfile(f *asked, name string) error {
	if err := f.check(countOutputs); err != nil {
		return err
	}
	if f.output != "table" {
		return usage("leave -o away", "-o formats the list of profiles; a profile itself is YAML")
	}
	p, ok := profile.Find(name)
	if !ok {
		return usage("choose one of "+strings.Join(profileNames(), ", "), "unknown profile %q", name)
	}
	_, err := a.out.Write(p.YAML(f.lang))
	return err
}

func profileNames() (names []string) {
	for _, p := range profile.All() {
		names = append(names, p.Name)
	}
	return names
}

func (a *app) listProfiles(f *asked) error {
	if err := f.check(countOutputs); err != nil {
		return err
	}
	all := profile.All()
	if f.output != "table" {
		return output.Rows(a.stdout(), f.output, "ProfileList", map[string]any{}, len(all), func(b []byte, i int) []byte {
			return appendProfile(b, all[i])
		})
	}
	t := output.Table{W: a.stdout(), Headers: !f.noHeaders, Fit: terminal(a.out), Right: []int{1, 2, 3, 4}, Soft: []int{5},
		Titles: []string{"PROFILE", "EVENTS", "BYTES", "BODIES", "B/REQ", "RECORDS"}}
	for _, p := range all {
		about, c := p.About, p.Cost()
		if f.lang == "zh" {
			about = p.AboutZH
		}
		bodies := output.None
		if c.Bodies > 0 {
			bodies = "~" + megabytes(c.Bodies)
		}
		perRequest := strconv.FormatInt((c.Bytes+c.Bodies)/int64(max(c.Requests, 1)), 10)
		if err := t.Add(p.Name, strconv.Itoa(c.Events), megabytes(c.Bytes), bodies, perRequest, about); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	c, note := profile.Traffic(), "Measured on %d requests to a real kube-apiserver; everything but bodies had\nbeen recorded: %d events, %s. The size of bodies is an estimate.\n"
	if f.lang == "zh" {
		note = "在一个真实 kube-apiserver 的 %d 个请求上测得，当时除内容外全部记录，\n共 %d 个事件、%s。内容的大小是估计值。\n"
	}
	_, err := fmt.Fprintf(a.err, note, c.Requests, c.Events, megabytes(c.Bytes))
	return err
}

// megabytes writes bytes as those who sell storage count them.
func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func appendProfile(b []byte, p profile.Profile) []byte {
	c := p.Cost()
	b = output.AppendString(append(b, `{"name":`...), p.Name)
	b = output.AppendString(append(b, `,"about":`...), p.About)
	b = output.AppendString(append(b, `,"aboutZH":`...), p.AboutZH)
	return fmt.Appendf(b, `,"requests":%d,"events":%d,"bytes":%d,"estimatedBodyBytes":%d,"eventsOfUnknownBody":%d}`,
		c.Requests, c.Events, c.Bytes, c.Bodies, c.Unknown)
}
