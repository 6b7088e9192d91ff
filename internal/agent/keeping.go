package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kubetrail/internal/collect"
)

// keeping finds out how long logs hold what was written to them, from what lies in their
// directories: the age of the oldest backup, and how much faster is written now than
// over that time. A log that was never rotated tells nothing.
type keeping struct {
	logs   []Log
	now    func() time.Time
	looked time.Time

	samples []sample // of the last minutes
	away    time.Time
	base    int64 // bytes waiting when the server took something last, less what lay in the current files
}

// sample is how much had been written at a moment.
type sample struct {
	at      time.Time
	written int64
}

const (
	lookEvery  = 15 * time.Second
	rateWithin = 10 * time.Minute
	rateNeeds  = time.Minute
)

func newKeeping(cfg Config) *keeping { return &keeping{logs: cfg.Logs, now: cfg.Now} }

// file is one file of a log.
type file struct {
	size    int64
	changed time.Time
	packed  bool
}

// look returns how long the logs hold, 0 for unknown, and how many bytes wait while the
// server takes nothing; shipped and waiting are what the agent knows. It looks only now
// and then.
func (k *keeping) look(shipped uint64, waiting int64, taking bool) (holds time.Duration, wait int64, looked bool) {
	now := k.now()
	if now.Sub(k.looked) < lookEvery {
		return 0, 0, false
	}
	k.looked = now
	var sets [][]file
	for _, l := range k.logs {
		sets = append(sets, filesOf(l.Path)...)
	}
	wait = waiting
	if taking {
		k.away, k.base = now, waiting
		for _, set := range sets {
			k.base -= set[len(set)-1].size
		}
	} else {
		wait = k.base
		for _, set := range sets {
			for i, f := range set {
				if f.changed.After(k.away) || i == len(set)-1 {
					wait += f.size
				}
			}
		}
		wait = max(wait, waiting)
	}
	rate := k.rate(now, int64(shipped)+wait)
	for _, set := range sets {
		if h := held(set, now, rate/float64(len(sets))); h > 0 && (holds == 0 || h < holds) {
			holds = h
		}
	}
	return holds, wait, true
}

// rate is how many bytes a second were written of late; 0: unknown.
func (k *keeping) rate(now time.Time, written int64) float64 {
	k.samples = append(k.samples, sample{now, written})
	k.samples = slices.DeleteFunc(k.samples, func(s sample) bool { return now.Sub(s.at) > rateWithin })
	first := k.samples[0]
	if took := now.Sub(first.at); took >= rateNeeds {
		return float64(written-first.written) / took.Seconds()
	}
	return 0
}

// held is how long a set of files, the oldest first, holds what is written to it, when
// that is rate bytes a second; 0: unknown. The first file goes next.
func held(set []file, now time.Time, rate float64) time.Duration {
	if len(set) < 2 {
		return 0
	}
	span := now.Sub(set[0].changed)
	var bytes int64
	var took time.Duration
	for i := 1; i < len(set); i++ {
		if !set[i].packed {
			bytes += set[i].size
			took += set[i].changed.Sub(set[i-1].changed)
		}
	}
	if usual := float64(bytes) / took.Seconds(); took > 0 && rate > usual && usual > 0 {
		span = time.Duration(float64(span) * usual / rate)
	}
	return max(span, time.Second)
}

// filesOf returns the files of each log that a path or pattern means, the oldest first.
func filesOf(path string) [][]file {
	paths := []string{path}
	if strings.ContainsAny(path, "*?[") {
		paths, _ = filepath.Glob(path) // New has looked at the pattern
	}
	var sets [][]file
	for _, path := range paths {
		dir, log := filepath.Dir(path), filepath.Base(path)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			dir, log = path, ""
		}
		entries, _ := os.ReadDir(dir) // who follows the log tells of an error
		logs := map[string][]file{}
		for _, e := range entries {
			info, err := e.Info()
			if of, plain := collect.LogOf(e.Name()); err == nil && info.Mode().IsRegular() && meant(of, log) {
				logs[of] = append(logs[of], file{info.Size(), info.ModTime(), plain != e.Name()})
			}
		}
		for _, set := range logs {
			slices.SortFunc(set, func(a, b file) int { return a.changed.Compare(b.changed) })
			sets = append(sets, set)
		}
	}
	return sets
}

// meant reports whether a file of the log named of is shipped where log is asked for: it
// alone, not what else lies there, such as a policy or the log of another API server. Of
// a directory every log is.
func meant(of, log string) bool {
	return of == log || log == "" && strings.Contains(of, ".log")
}

// Span is a duration in its two largest units.
func Span(d time.Duration) string {
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}
