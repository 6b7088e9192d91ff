package spool

import (
	"errors"
	"testing"
)

// TestSetMaxBytes gives a spool that is full more room, and one that is there less, and
// another one as much from its beginning.
func TestSetMaxBytes(t *testing.T) {
	body := list(0, 1)
	size := int64(len(body)) + 1
	s := openSpools(t, Config{Dir: t.TempDir(), MaxBytes: size})
	receive(t, s, "prod", body)
	if err := s.Receive(t.Context(), Origin{Cluster: "prod"}, body); !errors.Is(err, ErrFull) {
		t.Fatalf("a full spool takes more: %v", err)
	}
	s.SetMaxBytes(2 * size)
	receive(t, s, "prod", list(1, 2))
	s.SetMaxBytes(size)
	for _, cluster := range []string{"prod", "test"} {
		_ = s.Receive(t.Context(), Origin{Cluster: cluster}, list(2, 3))
		if err := s.Receive(t.Context(), Origin{Cluster: cluster}, list(3, 4)); !errors.Is(err, ErrFull) {
			t.Errorf("%s takes more than there is room for: %v", cluster, err)
		}
	}
}
