package audit

import (
	"strings"
	"testing"
)

// TestAnnotatedOrigin reads events that say themselves where they were observed.
func TestAnnotatedOrigin(t *testing.T) {
	event := func(annotations string) string {
		return `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1","stage":"ResponseComplete","requestURI":"/","verb":"get","user":{},"requestReceivedTimestamp":null,"stageTimestamp":null,"annotations":` + annotations + "}\n"
	}
	for _, c := range []struct {
		annotations     string
		cfg             ReaderConfig
		cluster, server string
	}{
		{annotations: `{"kubetrail.io/cluster":"prod","kubetrail.io/server":"cp-1"}`, cluster: "prod", server: "cp-1"},
		{annotations: `{"a":"b","kubetrail.io/cluster":"prod"}`, cluster: "prod"},
		{annotations: `{"kubetrail.io/cluster":"prod","kubetrail.io/server":"cp-1"}`, cfg: ReaderConfig{Cluster: "said"}, cluster: "said", server: "cp-1"},
		{annotations: `{"kubetrail.io/cluster":"prod","kubetrail.io/server":"cp-1"}`, cfg: ReaderConfig{Server: "said"}, cluster: "prod", server: "said"},
		{annotations: `{"a":"\"kubetrail.io/cluster\":\"x\""}`},
		{annotations: `{"notkubetrail.io/cluster":"x"}`},
		{annotations: `{"kubetrail.io/cluster":"a\u0062"}`},
		{annotations: `{"kubetrail.io/cluster":""}`},
	} {
		r := NewReader(strings.NewReader(event(c.annotations)), c.cfg)
		var e Event
		if err := r.Next(&e); err != nil {
			t.Fatal(err)
		}
		if string(e.Text[Cluster]) != c.cluster || string(e.Text[Server]) != c.server {
			t.Errorf("%s: cluster %q, server %q", c.annotations, e.Text[Cluster], e.Text[Server])
		}
		if !e.Exact() {
			t.Errorf("%s: the line is not that of the columns", c.annotations)
		}
	}
}
