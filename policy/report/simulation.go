package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"

	"kubetrail/audit"
	"kubetrail/internal/output"
	"kubetrail/policy/simulate"
)

// Simulation prints what a simulation came to, as text.
func Simulation(p *output.Page, r *simulate.Report, o simulate.Options) error {
	for i, section := range r.Sections(o) {
		if i > 0 {
			p.W.WriteString("\n")
		}
		p.W.WriteString(section.Title + "\n")
		t := p.Table(section.Columns...)
		t.Fit, t.Right, t.Soft = max(columns, p.Fit), section.Right, section.Soft
		for _, row := range section.Rows {
			for i := range row {
				row[i] = output.Plain(row[i], false)
			}
			if err := t.Add(row...); err != nil {
				return err
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
		for _, note := range section.Notes {
			paragraph(p, output.Plain(note, false), "")
		}
	}
	return p.W.Flush()
}

// simulation is a report as JSON.
type simulation struct {
	Kind       string   `json:"kind"`
	APIVersion string   `json:"apiVersion"`
	Policies   []string `json:"policies"`
	First      string   `json:"first,omitempty"`
	Last       string   `json:"last,omitempty"`
	Seconds    float64  `json:"seconds"`
	PerDay     *perDay  `json:"perDay,omitempty"`
	MoreEvents bool     `json:"moreEvents"` // the candidate may record more than is said
	MoreBytes  bool     `json:"moreBytes"`
	*simulate.Report
}

// perDay is what the events come to in a day.
type perDay struct {
	Before dayVolume `json:"before"`
	After  dayVolume `json:"after"`
}

type dayVolume struct {
	Events float64  `json:"events"`
	Bytes  float64  `json:"bytes"`
	Cost   *float64 `json:"cost,omitempty"`
}

// SimulationJSON prints what a simulation of the policies of these names came to, as one
// document. price is that of a GB; 0: none.
func SimulationJSON(w *bufio.Writer, r *simulate.Report, policies []string, price float64) error {
	out := simulation{Kind: "PolicySimulation", APIVersion: "kubetrail.io/v1alpha1", Policies: policies,
		Seconds: r.Span().Seconds(), MoreEvents: r.MoreEvents(), MoreBytes: r.MoreBytes(), Report: r}
	if r.First != audit.NoTime {
		out.First, out.Last = output.RFC3339(r.First), output.RFC3339(r.Last)
	}
	if r.Span() > 0 {
		day := func(v simulate.Volume) dayVolume {
			d := dayVolume{Events: r.PerDay(v.Events), Bytes: r.PerDay(v.Bytes)}
			if price > 0 {
				cost := d.Bytes / 1e9 * price
				d.Cost = &cost
			}
			return d
		}
		out.PerDay = &perDay{day(r.Total.Before), day(r.Total.After)}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	w.Write(b.Bytes())
	return w.Flush()
}
