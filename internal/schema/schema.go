// Package schema knows the APIs that every kube-apiserver serves: which resources there
// are, what kubectl and people call them, and how their objects are made.
//
// The tables are facts that a real kube-apiserver tells about itself (discovery and
// OpenAPI); the test of a control plane in test/e2e writes them, and compares them.
package schema

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed resources.tsv
var resources string

// Resource is one resource of a built-in API.
type Resource struct {
	Group, Version string // "" and "v1" for the core group
	Name           string // the plural in URLs and in objectRef.resource: deployments
	Singular       string // deployment
	Kind           string // Deployment
	Short          []string
	Namespaced     bool
	Verbs          []string
	Subresources   []Subresource
}

// Subresource is one path below an object of a resource.
type Subresource struct {
	Name  string
	Verbs []string
}

// table is what is looked up, made once.
var table = sync.OnceValue(func() *tables {
	t := &tables{byName: map[[2]string]*Resource{}, byWord: map[string][]*Resource{}}
	for line := range strings.Lines(resources) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		r := &Resource{Group: strings.TrimPrefix(f[0], "-"), Version: f[1], Name: f[2], Singular: f[3], Kind: f[4],
			Namespaced: f[6] == "namespaced", Verbs: strings.Split(f[7], ",")}
		if f[5] != "-" {
			r.Short = strings.Split(f[5], ",")
		}
		if f[8] != "-" {
			for _, s := range strings.Split(f[8], " ") {
				name, verbs, _ := strings.Cut(s, "=")
				r.Subresources = append(r.Subresources, Subresource{name, strings.Split(verbs, ",")})
			}
		}
		t.all = append(t.all, r)
		if t.byName[[2]string{r.Group, r.Name}] == nil {
			t.byName[[2]string{r.Group, r.Name}] = r
		}
		words := map[string]bool{r.Name: true, r.Singular: true, strings.ToLower(r.Kind): true}
		for _, s := range r.Short {
			words[s] = true
		}
		for w := range words {
			t.byWord[w] = append(t.byWord[w], r)
		}
	}
	return t
})

type tables struct {
	all    []*Resource
	byName map[[2]string]*Resource // group and plural
	byWord map[string][]*Resource
}

// Resources returns all built-in resources, ordered by group and name.
func Resources() []*Resource { return table().all }

// Find returns the resource of an API group by its plural, nil for one that is not
// built in. The Resource must not be changed.
func Find(group, name string) *Resource { return table().byName[[2]string{group, name}] }

// A Target is what an argument of kubectl names: deploy/nginx, secrets, or
// crontabs.stable.example.com/my-crontab.
type Target struct {
	Group    string // "" for the core group, or where AnyGroup
	AnyGroup bool   // the group is not known: a resource that is not built in was named without it
	Resource string // plural
	Name     string // "" where none was given
	Kind     string // "" where it is not known
}

// ParseTarget reads TYPE, TYPE/NAME, TYPE.GROUP/NAME or TYPE.VERSION.GROUP/NAME as
// kubectl does: the type as plural, singular, short name or kind, in any case. Where
// several groups have a type, it is that which kubectl chooses: the core group first. A
// type that is not built in is taken for the plural that it may be.
func ParseTarget(text string) Target {
	word, name, _ := strings.Cut(text, "/")
	word, group, dotted := strings.Cut(strings.ToLower(word), ".")
	found := table().byWord[word]
	for _, r := range found {
		if !dotted || r.Group == group || r.Version+"."+r.Group == group || r.Group == "" && r.Version == group {
			return Target{Group: r.Group, Resource: r.Name, Name: name, Kind: r.Kind}
		}
	}
	return Target{Group: group, AnyGroup: !dotted, Resource: plural(word), Name: name}
}

// plural guesses the plural of a custom resource as people and generators form it.
func plural(word string) string {
	switch {
	case word == "" || strings.HasSuffix(word, "s") && !strings.HasSuffix(word, "ss"):
		return word
	case strings.HasSuffix(word, "s") || strings.HasSuffix(word, "x") || strings.HasSuffix(word, "ch") || strings.HasSuffix(word, "sh"):
		return word + "es"
	case strings.HasSuffix(word, "y") && len(word) > 1 && !strings.ContainsRune("aeiou", rune(word[len(word)-2])):
		return word[:len(word)-1] + "ies"
	}
	return word + "s"
}
