package remote

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"time"

	"kubetrail/audit"
	"kubetrail/internal/trail"
)

// Ask asks for one path below /api/v1 that answers with a JSON document, and decodes
// it into to, a pointer.
func (t *Trail) Ask(ctx context.Context, path string, values url.Values, to any) error {
	return t.document(ctx, path, values, to)
}

// fault is a fault as the API writes it.
type fault struct {
	trail.Fault
	Lost *struct {
		From, To *time.Time
		Events   int64
		Cause    string
	}
}

// Faults implements [trail.Reader].
func (t *Trail) Faults(ctx context.Context, yield func(trail.Fault) error) error {
	answer, err := t.get(ctx, "faults", nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	lines := bufio.NewReaderSize(answer.Body, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("the answer of %s broke off: %w", t.base.Host, err)
		}
		var x fault
		if err := json.Unmarshal(line, &x); err != nil {
			return fmt.Errorf("the answer of %s: %w", t.base.Host, err)
		}
		if x.Lost != nil {
			x.Fault.Lost = &trail.Loss{From: micros(x.Lost.From), To: micros(x.Lost.To), Events: x.Lost.Events, Cause: x.Lost.Cause}
		}
		if err := yield(x.Fault); err != nil {
			return err
		}
	}
}

func micros(t *time.Time) int64 {
	if t == nil {
		return audit.NoTime
	}
	return t.UnixMicro()
}
