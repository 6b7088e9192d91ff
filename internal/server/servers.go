package server

import (
	"net/http"

	"kubetrail/internal/skew"
)

// serverList is the answer to servers.
type serverList struct {
	head
	Items []skew.Server `json:"items"`
}

// servers lists the API servers that were observed, and how their clocks differ.
func (s *Server) servers(w http.ResponseWriter, r *http.Request, p params) error {
	q, err := p.question()
	if err != nil {
		return err
	}
	list, err := skew.Find(r.Context(), s.cfg.Trail, q)
	if err != nil {
		return err
	}
	if list == nil {
		list = []skew.Server{}
	}
	writeJSON(w, http.StatusOK, serverList{head{apiVersion, "ServerList"}, list})
	return nil
}
