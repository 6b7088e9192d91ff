// Package profile holds audit policies to start from, in tiers: each records all that
// the one before it records, and more. Every rule says in a comment why it is there.
//
// A profile is put together from parts, so that what two of them share is the same
// text. The files in parts hold rules and, before them, what to say of them in each
// language.
package profile

import (
	"embed"
	"strconv"
	"strings"
)

//go:embed parts/*.yaml
var parts embed.FS

// costs is written by TestCosts.
//
//go:embed costs.tsv
var costs string

// Profile is a policy to start from.
type Profile struct {
	Name    string // such as write-bodies
	About   string // what it records, in a few words
	AboutZH string

	head, rules []string // names of parts
}

// Cost is what a profile makes of the traffic of a log that had been recorded whole:
// 20 nodes, people and controllers at work on one cluster, everything at Metadata.
type Cost struct {
	Requests int   // that were made
	Events   int   // that are recorded of them
	Bytes    int64 // of these events as lines of JSON, but for the bodies

	// Bodies is how many bytes the bodies add. It is an estimate: the mean size of
	// the bodies of the same verb and resource in a log that has them.
	Bodies int64

	// Unknown is how many events have a body of which that log has no example.
	Unknown int
}

// Traffic is what the log held that costs are measured on, all of it at Metadata.
func Traffic() Cost { return cost("everything") }

// All returns every profile: the tiers from the least to the most, then those that
// follow a standard.
func All() []Profile {
	return []Profile{
		{
			"minimal", "changes, secrets, failed logins", "变更、Secret、登录失败",
			[]string{"about-minimal", "head"},
			[]string{"credentials", "sessions", "health", "events", "leases", "readers", "no-status", "no-reads", "rest"},
		},
		{
			"default", "all but noise, without bodies", "除噪声外的一切，不含内容",
			[]string{"about-default", "head"},
			[]string{"secrets", "sessions", "health", "discovery", "events", "leases", "readers", "kubelets", "rest"},
		},
		{
			"write-bodies", "default + what changes sent", "default + 变更提交的内容",
			[]string{"about-write-bodies", "head", "managed-fields"},
			[]string{"secrets", "sessions", "health", "discovery", "events", "leases", "readers", "kubelets",
				"plain-status", "plain-heartbeats", "patches", "write-requests", "rest"},
		},
		{
			"all-bodies", "default + bodies, not of lists", "default + 内容，list 除外",
			[]string{"about-all-bodies", "head", "managed-fields"},
			[]string{"secrets", "sessions", "health", "discovery", "events", "leases", "readers", "kubelets",
				"plain-heartbeats", "patches", "all-bodies", "rest"},
		},
		{
			"cis", "what CIS 3.2 asks for", "CIS 基准 3.2 节的要求",
			[]string{"about-cis", "head", "managed-fields"},
			[]string{"secrets", "sessions", "health", "events", "leases", "patches", "workloads", "rest"},
		},
	}
}

// Find returns the profile of a name.
func Find(name string) (Profile, bool) {
	for _, p := range All() {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}

// YAML returns the policy, with comments in English or, where lang is "zh", Chinese.
func (p Profile) YAML(lang string) []byte {
	var b strings.Builder
	for _, name := range p.head {
		writePart(&b, name, lang, "")
	}
	b.WriteString("rules:\n")
	for i, name := range p.rules {
		if i > 0 && p.rules[i-1] != "patches" { // which is a comment on the next
			b.WriteByte('\n')
		}
		writePart(&b, name, lang, "  ")
	}
	return []byte(b.String())
}

func writePart(b *strings.Builder, name, lang, indent string) {
	text, err := parts.ReadFile("parts/" + name + ".yaml")
	if err != nil {
		panic(err) // a name in All without its file: every test meets it
	}
	for line := range strings.Lines(string(text)) {
		if line, ok := translated(line, lang); ok {
			if line != "\n" {
				b.WriteString(indent)
			}
			b.WriteString(line)
		}
	}
}

// translated turns a comment of the language into one of YAML. It is false for a
// comment of the other language.
func translated(line, lang string) (string, bool) {
	text := strings.TrimLeft(line, " ")
	indent := line[:len(line)-len(text)]
	for _, l := range []string{"en", "zh"} {
		if rest, ok := strings.CutPrefix(text, "#"+l); ok {
			return indent + "#" + rest, (l == "zh") == (lang == "zh")
		}
	}
	return line, true
}

// Cost returns what the profile was measured to cost.
func (p Profile) Cost() Cost { return cost(p.Name) }

func cost(name string) Cost {
	for line := range strings.Lines(costs) {
		row := strings.Split(strings.TrimSpace(line), "\t")
		if row[0] != name || len(row) != 6 {
			continue
		}
		var n [5]int
		for i := range n {
			n[i], _ = strconv.Atoi(row[i+1]) // TestCosts has written it
		}
		return Cost{Requests: n[0], Events: n[1], Bytes: int64(n[2]), Bodies: int64(n[3]), Unknown: n[4]}
	}
	return Cost{}
}
