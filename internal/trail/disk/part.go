package disk

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"kubetrail/audit"
	"kubetrail/internal/parquet"
	"kubetrail/internal/trail"
)

// part is an open part. It never changes and may be read by many at a time; refs,
// owned by the Trail's mutex, says how many still do.
type part struct {
	name  string
	file  *os.File
	size  int64
	foot  *parquet.File
	chunk [numColumns]*parquet.Chunk // nil: the column holds nothing
	meta  partMeta
	rows  int
	refs  int
}

func openPart(dir, name string) (*part, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	p, err := readPart(f, name)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("part %s: %w", name, err)
	}
	return p, nil
}

func readPart(f *os.File, name string) (*part, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	foot, err := parquet.ReadFile(f, info.Size())
	if err != nil {
		return nil, err
	}
	p := &part{name: name, file: f, size: info.Size(), foot: foot, rows: int(foot.Rows)}
	if err := json.Unmarshal([]byte(metaValue(foot.Meta, metaPart)), &p.meta); err != nil {
		return nil, fmt.Errorf("%w: %w", parquet.ErrDamaged, err)
	}
	if p.meta.Format != formatVersion {
		return nil, fmt.Errorf("has format %d, this program reads format %d", p.meta.Format, formatVersion)
	}
	if m := p.meta; p.rows > maxRows || m.Last < m.First ||
		p.rows > 0 && m.Last-m.First+1 != uint64(p.rows)+m.Faults {
		return nil, fmt.Errorf("%w: %d rows for the numbers %d to %d", parquet.ErrDamaged, p.rows, m.First, m.Last)
	}
	for i := range foot.Chunks {
		if column, ok := columnNumbers[foot.Chunks[i].Name]; ok {
			p.chunk[column] = &foot.Chunks[i]
		}
	}
	return p, nil
}

// replaced reports whether there is another file under the part's name: the marker that
// Expire leaves of a newest part has the same name where that held one number.
func (p *part) replaced(dir string) bool {
	if p.rows == 0 || p.meta.First != p.meta.Last {
		return false
	}
	mine, err := p.file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(filepath.Join(dir, p.name))
	return err == nil && !os.SameFile(mine, now)
}

// columnNumbers is columnNames the other way round.
var columnNumbers = func() map[string]int {
	m := make(map[string]int, numColumns)
	for i, name := range columnNames {
		m[name] = i
	}
	return m
}()

func (p *part) sources() (list []trail.Source, err error) {
	err = json.Unmarshal([]byte(metaValue(p.foot.Meta, metaSources)), &list)
	return list, err
}

func (p *part) faults() (list []trail.Fault, err error) {
	if v := metaValue(p.foot.Meta, metaFaults); v != "" {
		err = json.Unmarshal([]byte(v), &list)
	}
	return list, err
}

// earliest is the time of the part's first event in the order of answers: a missing
// time comes before all others.
func (p *part) earliest() int64 {
	if p.chunk[colMissing] != nil {
		return audit.NoTime
	}
	return p.meta.Oldest
}

// overlaps reports whether the part can hold events of q's time.
func (p *part) overlaps(q trail.Query) bool {
	if q.Since == audit.NoTime && q.Until == audit.NoTime {
		return true
	}
	return p.meta.Oldest != audit.NoTime &&
		(q.Since == audit.NoTime || p.meta.Newest >= q.Since) &&
		(q.Until == audit.NoTime || p.meta.Oldest < q.Until)
}
