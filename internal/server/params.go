package server

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/query"
	"kubetrail/internal/trail"
)

const (
	defaultLimit = 100
	maxLimit     = 10_000
	defaultTop   = 20
	maxTop       = 10_000
	maxBy        = 8   // fields to group by
	maxFields    = 200 // fields per event
)

// params are the query parameters of one request: only those its route has, each
// once. A misspelt one is an error, or its request would be answered as if it were
// not there, with the wrong events.
type params struct {
	values url.Values
	now    time.Time // what "30m" is counted back from
}

func parseParams(rawQuery string, known []string, now time.Time) (params, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return params{}, newError(http.StatusBadRequest, "BadURL", err.Error(), "write & as %26, % as %25 and + as %2B inside a value")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			hint := "this path has no parameters"
			if len(known) > 0 {
				hint = "the parameters of this path are " + strings.Join(known, ", ")
			}
			return params{}, badParameter(name, "no such parameter", hint)
		}
		if len(values[name]) > 1 {
			return params{}, badParameter(name, "given more than once", "give it once")
		}
	}
	return params{values, now}, nil
}

func (p params) get(name string) string { return p.values.Get(name) }

// flag is true for ?name, ?name=true and ?name=1.
func (p params) flag(name string) (bool, error) {
	v := p.get(name)
	if !p.values.Has(name) {
		return false, nil
	}
	if v == "" {
		return true, nil
	}
	on, err := strconv.ParseBool(v)
	if err != nil {
		return false, badParameter(name, fmt.Sprintf("%q is neither true nor false", v), "")
	}
	return on, nil
}

// number is the value of a parameter between 1 and most, or preset if it is absent.
func (p params) number(name string, preset, most int) (int, error) {
	v := p.get(name)
	if v == "" {
		return preset, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		return 0, badParameter(name, fmt.Sprintf("%q is not a number from 1 to %d", v, most), "")
	}
	return n, nil
}

// count is the value of a parameter between 0 and most, 0 if it is absent.
func (p params) count(name string, most int) (int, error) {
	v := p.get(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > most {
		return 0, badParameter(name, fmt.Sprintf("%q is not a number from 0 to %d", v, most), "")
	}
	return n, nil
}

// question reads query, since and until.
func (p params) question() (trail.Query, error) {
	q := trail.Always(nil)
	var err error
	if text := p.get("query"); text != "" {
		if q.Where, err = query.Parse(text); err != nil {
			return q, badQuery(err)
		}
	}
	for _, bound := range []struct {
		name string
		to   *int64
	}{{"since", &q.Since}, {"until", &q.Until}} {
		if text := p.get(bound.name); text != "" {
			if *bound.to, err = trail.ParseTime(text, p.now); err != nil {
				return q, badParameter(bound.name, err.Error(), "")
			}
		}
	}
	if q.Since != audit.NoTime && q.Until != audit.NoTime && q.Since >= q.Until {
		return q, badParameter("since", "is not before until, so no event can match", "both count from now if they are durations: since=2h&until=1h is the hour before last")
	}
	return q, nil
}

// page reads limit, order and cursor. The page has room for one answer more than
// asked for, which tells whether there is a next page.
func (p params) page(columns audit.Columns) (trail.Page, error) {
	page := trail.Page{Columns: columns | audit.Set(audit.Seq, audit.Staged, audit.Received)}
	limit, err := p.number("limit", defaultLimit, maxLimit)
	if err != nil {
		return page, err
	}
	page.Limit = limit + 1
	switch order := p.get("order"); order {
	case "", "newest":
	case "oldest":
		page.Oldest = true
	default:
		return page, badParameter("order", fmt.Sprintf("no order %q", order), "newest or oldest")
	}
	if text := p.get("cursor"); text != "" {
		oldest, after, err := trail.ParseCursor(text)
		if err != nil || oldest != page.Oldest {
			return page, badParameter("cursor", "not one that this server gave for this order", "begin again without cursor")
		}
		page.After = after
	}
	return page, nil
}

// fields reads a list of fields separated by commas, none for an absent parameter.
func (p params) fields(name string, most int) ([]audit.Ref, error) {
	v := p.get(name)
	if v == "" {
		return nil, nil
	}
	names := strings.Split(v, ",")
	if len(names) > most {
		return nil, badParameter(name, fmt.Sprintf("%d fields, %d at most", len(names), most), "")
	}
	refs := make([]audit.Ref, len(names))
	for i, n := range names {
		n = strings.TrimSpace(n)
		var err error
		if refs[i], err = audit.Resolve(n); err != nil {
			return nil, badParameter(name, err.Error(), "/api/v1/fields lists them all")
		}
	}
	return refs, nil
}
