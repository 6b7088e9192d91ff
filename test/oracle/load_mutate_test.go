package oracle

import (
	"math/rand/v2"
	"strings"
)

// mutator makes inputs of inputs.
type mutator struct{ *rand.Rand }

func newMutator(seed uint64) mutator { return mutator{rand.New(rand.NewPCG(seed, 7))} }

// tokens are what a mutation puts in: the words of a policy and what trips YAML up.
var tokens = strings.Split(`apiVersion: |kind: |audit.k8s.io/v1|audit.k8s.io/v1beta1|audit.k8s.io/v1alpha1|audit.k8s.io/__internal|v1|Policy|PolicyList|Event|EventList|Status|WatchEvent|ListOptions|metadata: |rules:|level: |Level: |users: |userGroups: |verbs: |resources: |group: |resourceNames: |namespaces: |nonResourceURLs: |omitStages: |omitManagedFields: |creationTimestamp: |labels: |ownerReferences: |managedFields: |Metadata|None|Request|RequestReceived|Panic|"*"|/a*|/a*b|pods|- |[|]|{|}|,|: |:|"|'|
|
  |
- |	| |#|&a |*a|<<: |!!str |!!int |!!binary |!foo |---
|
---
|...
|%YAML 1.1
|null|~|true|yes|no|on|y|1|-1|1.5|1e3|0x1F|017|.inf|.nan|2024-01-01|""|"\n"|>
|>-
|? | ||
|é|日|😀|<|>&|
|`+"\u0085|\u2028|\ufeff|\x00|\x07|\xff|\xc3|\\u0041|\\ud83d", "|")

// mutate changes one to four places of one of inputs.
func (m mutator) mutate(inputs []string) string {
	s := inputs[m.IntN(len(inputs))]
	for range 1 + m.IntN(4) {
		at, lines := m.IntN(len(s)+1), strings.SplitAfter(s, "\n")
		line := m.IntN(len(lines))
		switch m.IntN(9) {
		case 0, 1: // put in
			s = s[:at] + tokens[m.IntN(len(tokens))] + s[at:]
		case 2: // take out a few bytes
			s = s[:at] + s[min(len(s), at+1+m.IntN(4)):]
		case 3: // put in the place of a word
			s = s[:at] + tokens[m.IntN(len(tokens))] + strings.TrimLeft(s[at:], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
		case 4: // a line twice
			s = strings.Join(lines[:line+1], "") + strings.Join(lines[line:], "")
		case 5: // a line gone
			s = strings.Join(append(lines[:line:line], lines[line+1:]...), "")
		case 6: // a line indented, or less
			if m.IntN(2) == 0 {
				lines[line] = "  " + lines[line]
			} else {
				lines[line] = strings.TrimPrefix(lines[line], " ")
			}
			s = strings.Join(lines, "")
		case 7: // lines exchanged
			other := m.IntN(len(lines))
			lines[line], lines[other] = lines[other], lines[line]
			s = strings.Join(lines, "")
		case 8: // a member more
			at := strings.LastIndex(s[:at], "\n") + 1
			s = s[:at] + strings.Repeat(" ", m.IntN(6)) + tokens[m.IntN(30)] + tokens[m.IntN(len(tokens))] + "\n" + s[at:]
		}
		if len(s) > 20_000 {
			s = s[:20_000]
		}
	}
	return s
}
