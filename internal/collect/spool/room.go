package spool

// SetMaxBytes changes what may wait in each spool, from the next body on.
func (s *Spools) SetMaxBytes(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.MaxBytes = n
	for _, sp := range s.spools {
		sp.mu.Lock()
		sp.cfg.MaxBytes = n
		sp.mu.Unlock()
	}
}

// SetMaxBytes changes what may wait of each agent, from the next append on.
func (s *Shipped) SetMaxBytes(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.MaxBytes = n
	for _, a := range s.agents {
		a.mu.Lock()
		a.cfg.MaxBytes = n
		a.mu.Unlock()
	}
}
