package engine

import "sync"

// Tally counts what goes on. Unlike a sync.WaitGroup it may grow from nothing while
// somebody waits. Its zero value is ready.
type Tally struct {
	mu   sync.Mutex    // guards what follows
	n    int           // what goes on
	none chan struct{} // closed when n falls to 0; nil if nobody waits
}

// Begin counts one more.
func (t *Tally) Begin() {
	t.mu.Lock()
	t.n++
	t.mu.Unlock()
}

// End counts one less.
func (t *Tally) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.none != nil {
		close(t.none)
		t.none = nil
	}
}

// Go counts f, which it runs in a goroutine.
func (t *Tally) Go(f func()) {
	t.Begin()
	go func() {
		defer t.End()
		f()
	}()
}

// Wait returns when nothing goes on, or nothing did for a moment.
func (t *Tally) Wait() {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return
	}
	if t.none == nil {
		t.none = make(chan struct{})
	}
	none := t.none
	t.mu.Unlock()
	<-none
}
