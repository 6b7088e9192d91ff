package server

import (
	"encoding/json"
	"net/http"
	"testing"

	"kubetrail/internal/skew"
)

func TestServers(t *testing.T) {
	s := newServer(t, Config{})
	for query, want := range map[string]int{"": 1, "?query=verb:get": 1, "?query=user:nobody-at-all": 0, "?until=2001-01-01": 0} {
		w := get(s, "/api/v1/servers"+query)
		var list struct{ Items []skew.Server }
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != http.StatusOK || len(list.Items) != want {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
		if err := readDocument(t, s).checkResponse("/api/v1/servers", w); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	if w := get(s, "/api/v1/servers?limit=3"); w.Code != http.StatusBadRequest {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
