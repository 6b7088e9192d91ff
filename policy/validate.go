package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kubetrail/internal/selector"
)

// validator collects what upstream's validation of release says.
type validator struct {
	release  Kubernetes
	findings []Finding
}

// validate tells what is wrong with p, in upstream's order and with its texts; each
// Path is exact where the path in the text lacks an index. Upstream:
// validation.ValidatePolicy.
func (p *Policy) validate(k Kubernetes) []Finding {
	v := &validator{release: k}
	v.stages("omitStages", p.OmitStages)
	for i := range p.Rules {
		v.rule(fmt.Sprintf("rules[%d]", i), &p.Rules[i])
	}
	return v.findings
}

func (v *validator) rule(path string, r *PolicyRule) {
	switch {
	case r.Level == "":
		v.add(path+".level", path+".level", "Required value")
	case !slices.Contains(Levels(), r.Level):
		v.add(path+".level", path+".level", "Unsupported value: "+v.quote(string(r.Level))+": supported values: "+quotedList(Levels()))
	}
	for i, url := range r.NonResourceURLs {
		at := fmt.Sprintf("%s.nonResourceURLs[%d]", path, i)
		if url != "*" && !strings.HasPrefix(url, "/") {
			v.invalid(at, at, strconv.Quote(url), "non-resource URL rules must begin with a '/' character")
		}
		if url != "" && strings.Contains(url[:len(url)-1], "*") {
			v.invalid(at, at, strconv.Quote(url), "non-resource URL wildcards '*' must be the final character of the rule")
		}
	}
	for i, g := range r.Resources {
		at := fmt.Sprintf("%s.resources[%d]", path, i)
		if why := v.group(g.Group); why != "" {
			v.invalid(at+".group", path+".resources.group", strconv.Quote(g.Group), why)
		}
		if len(g.ResourceNames) > 0 && len(g.Resources) == 0 {
			v.invalid(at+".resourceNames", path+".resources.resourceNames", v.list(g.ResourceNames), "using resourceNames requires at least one resource")
		}
	}
	v.stages(path+".omitStages", r.OmitStages)
	if len(r.NonResourceURLs) > 0 && (len(r.Resources) > 0 || len(r.Namespaces) > 0) {
		at := path + ".nonResourceURLs"
		v.invalid(at, at, v.list(r.NonResourceURLs), "rules cannot apply to both regular resources and non-resource URLs")
	}
}

func (v *validator) stages(path string, stages []Stage) {
	for i, s := range stages {
		if !slices.Contains(Stages(), s) {
			at := fmt.Sprintf("%s[%d]", path, i)
			v.invalid(at, at, strconv.Quote(string(s)), "allowed stages are "+joined(Stages(), ","))
		}
	}
}

// group tells why a group is invalid; "" where it is not.
func (v *validator) group(group string) string {
	if group == "" || group == "*" && v.release >= 36 {
		return ""
	}
	var why []string
	if len(group) > selector.MaxSubdomain {
		why = append(why, fmt.Sprintf("must be no more than %d characters", selector.MaxSubdomain))
	}
	if !selector.Subdomain.MatchString(group) {
		why = append(why, "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '"+
			strings.Trim(selector.Subdomain.String(), "^$")+"')")
	}
	return strings.Join(why, ",")
}

// add says text about path, which upstream calls name.
func (v *validator) add(path, name, text string) {
	v.findings = append(v.findings, Finding{Text: name + ": " + text, Path: path})
}

func (v *validator) invalid(path, name, value, why string) {
	v.add(path, name, "Invalid value: "+value+": "+why)
}

// valuesAsJSON is the first release whose texts show values as JSON, not as Go.
const valuesAsJSON = 34

// quote and list write values which upstream does not have as plain strings.
func (v *validator) quote(text string) string {
	if v.release < valuesAsJSON {
		return fmt.Sprintf("%#v", text)
	}
	return asJSON(text)
}

func (v *validator) list(texts []string) string {
	if v.release < valuesAsJSON {
		return fmt.Sprintf("%#v", texts)
	}
	return asJSON(texts)
}

// asJSON writes strings, which cannot fail.
func asJSON(value any) string {
	text, _ := json.Marshal(value)
	return string(text)
}

func quotedList[T ~string](values []T) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(string(v))
	}
	return joined(quoted, ", ")
}

func joined[T ~string](values []T, sep string) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return strings.Join(texts, sep)
}

// aggregate is upstream's text of several errors: each once, in brackets where there
// are several.
func aggregate(findings []Finding) string {
	var texts []string
	said := map[string]bool{}
	for _, f := range findings {
		if !said[f.Text] {
			said[f.Text] = true
			texts = append(texts, f.Text)
		}
	}
	if len(texts) == 1 {
		return texts[0]
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
