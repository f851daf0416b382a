package client

import "sync"

// bell tells everybody who listens that something has changed.
type bell struct {
	mu   sync.Mutex // guards next
	next chan struct{}
}

// listen returns a channel that is closed at the next ring. Listen first, look
// then.
func (b *bell) listen() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}
