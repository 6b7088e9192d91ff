package collect

import (
	"context"

	"kubetrail/internal/trail"
)

// FollowConfig says which log to follow.
type FollowConfig struct {
	// Path is the file that kube-apiserver writes, such as /var/log/kubernetes/audit.log,
	// or the directory it lies in. It need not exist yet.
	Path    string
	Cluster string

	// Sources are those of the trail, as far as they were read before.
	Sources []trail.Source

	OnFault func(trail.Fault) // may be nil
}

// Follower follows one log through its rotations.
type Follower struct{}

// Follow prepares to follow a log. Nothing is read before Pull.
func Follow(cfg FollowConfig) (*Follower, error) { panic("being built") }

func (f *Follower) Pull(ctx context.Context, w Appender, limit int64) (bool, error) {
	panic("being built")
}
func (f *Follower) Committed()     { panic("being built") }
func (f *Follower) Status() Status { panic("being built") }
func (f *Follower) Close() error   { panic("being built") }

// Watched lists the directories whose changes mean that there may be something to pull.
func (f *Follower) Watched() []string { panic("being built") }
