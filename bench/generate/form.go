package generate

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed forms.txt
var formText string

// slot numbers what differs from one event to the next inside a body.
type slot uint8

// The slots from slotApp up to slotNS belong to a workload, those from slotNode up
// to slotImages to a node: both are copied at once.
const (
	slotApp slot = iota
	slotHash
	slotImage
	slotRepo
	slotDigest
	slotVersion
	slotTeam
	slotDB
	slotEnv
	slotCPU
	slotMem
	slotRSUID
	slotRSCreated
	slotRSGen
	slotSvcUID
	slotHPAUID
	slotCMUID
	slotSAUID
	slotSliceUID
	slotSliceHash
	slotReplicas
	slotReadyReplicas
	slotMaxReplicas
	slotGen
	slotRevision
	slotNS

	slotNode
	slotNodeUID
	slotNodeUID2
	slotNodeUID3
	slotHostIP
	slotZone
	slotPodCIDR
	slotMachine
	slotMachine17
	slotImages

	slotName
	slotUID
	slotCreated
	slotRV
	slotRVOld
	slotNow
	slotNow30
	slotAccess
	slotPodIP
	slotCID
	slotStarted
	slotRestarts
	slotPodGen
	slotReady
	slotIsReady
	slotNotReady
	slotAge
	slotNewUID
	slotEHash
	slotReason
	slotMessage
	slotComponent
	slotInstance
	slotEventHost
	slotEType
	slotFieldPath
	slotPercent
	slotMilli
	slotB64Short
	slotB64Long
	slotToken
	slotUser
	slotManager
	slotCommit
	slotCommit0
	numSlots

	numWorkloadSlots = int(slotNS) + 1
	numNodeSlots     = int(slotImages-slotNode) + 1
)

// slotNames are the names of the slots in forms.txt.
func slotNames() [numSlots]string {
	return [...]string{
		"app", "hash", "image", "repo", "digest", "version", "team", "db", "env", "cpu", "mem",
		"rsuid", "rscreated", "rsgen", "svcuid", "hpauid", "cmuid", "sauid", "sliceuid", "slicehash",
		"replicas", "readyreplicas", "maxreplicas", "gen", "revision", "ns",
		"node", "nodeuid", "nodeuid2", "nodeuid3", "hostip", "zone", "podcidr", "machine", "machine17", "images",
		"name", "uid", "created", "rv", "rvold", "now", "now30", "access", "podip", "cid",
		"started", "restarts", "podgen", "ready", "isready", "notready", "age", "newuid", "ehash",
		"reason", "message", "component", "instance", "eventhost", "etype", "fieldpath", "percent", "milli",
		"b64short", "b64long", "token", "user", "manager", "commit", "commit0",
	}
}

// values holds what goes into each slot of the event being written.
type values [numSlots][]byte

// form is a body with its slots: the text, and where each slot cuts it.
type form struct {
	text string
	cuts []cut
}

type cut struct {
	at   int32
	slot slot
}

// append writes the body with its slots filled in.
func (f *form) append(b []byte, v *values) []byte {
	from := int32(0)
	for _, c := range f.cuts {
		b = append(b, f.text[from:c.at]...)
		b = append(b, v[c.slot]...)
		from = c.at
	}
	return append(b, f.text[from:]...)
}

// numShapes is how many kinds of pods there are in forms.txt.
const numShapes = 4

// forms holds every body, compiled once for each shape of pod.
type forms [numShapes]map[string]*form

// loadForms compiles forms.txt.
func loadForms() (*forms, error) {
	sections := readSections(formText)
	slots := make(map[string]slot, numSlots)
	for i, name := range slotNames() {
		slots[name] = slot(i)
	}
	var all forms
	for shape := range all {
		own := shapeSections(sections, fmt.Sprintf("shape%d", shape))
		all[shape] = make(map[string]*form, len(own))
		for name, text := range own {
			f, err := compile(text, own, slots)
			if err != nil {
				return nil, fmt.Errorf("forms.txt: %s: %w", name, err)
			}
			all[shape][name] = f
		}
	}
	return &all, nil
}

// readSections splits forms.txt, leaving out what comes before the first section.
func readSections(text string) map[string]string {
	sections := make(map[string]string)
	name := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if next, ok := strings.CutPrefix(line, "== "); ok {
			name = next
		} else if name != "" {
			sections[name] += line
		}
	}
	return sections
}

// shapeSections returns the sections as a pod of one shape uses them: its containers
// with and without the mount of the token that the API server adds, and its volumes.
func shapeSections(sections map[string]string, shape string) map[string]string {
	own := make(map[string]string, len(sections)+8)
	for name, text := range sections {
		if !strings.HasPrefix(name, "shape") {
			own[name] = text
		}
	}
	containers := sections[shape+".containers"]
	own["containers"] = strings.NewReplacer("<mount.only>", "", "<mount.more>", "").Replace(containers)
	own["containers.mounted"] = strings.NewReplacer(
		"<mount.only>", `,"volumeMounts":[<+api.mount>]`, "<mount.more>", ",<+api.mount>").Replace(containers)
	own["fields"] = sections[shape+".fields"]
	own["volumes"], own["volumes.first"], own["volumes.fields"] = "", "", ""
	if volume := sections[shape+".volumes"]; volume != "" {
		own["volumes"] = `"volumes":[` + volume + `],`
		own["volumes.first"] = volume + ","
		own["volumes.fields"] = `,"f:volumes":{".":{},"k:{\"name\":\"config\"}":{".":{},` +
			`"f:configMap":{".":{},"f:defaultMode":{},"f:name":{}},"f:name":{}}}`
	}
	return own
}

// compile resolves the sections that text includes and finds its slots.
func compile(text string, sections map[string]string, slots map[string]slot) (*form, error) {
	for depth := 0; strings.Contains(text, "<+"); depth++ {
		start := strings.Index(text, "<+")
		name, rest, ok := strings.Cut(text[start+2:], ">")
		section, known := sections[name]
		if !ok || !known || depth > 200 {
			return nil, fmt.Errorf("cannot include %q", name)
		}
		text = text[:start] + section + rest
	}
	f := &form{}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "<")
		out.WriteString(before)
		if !found {
			f.text = out.String()
			return f, nil
		}
		name, rest, _ := strings.Cut(after, ">")
		s, known := slots[name]
		if !known {
			return nil, fmt.Errorf("no slot %q", name)
		}
		f.cuts = append(f.cuts, cut{int32(out.Len()), s})
		text = rest
	}
}
