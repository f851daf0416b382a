package main

import "sync"

// hub is the subscribers of a server that brings none of its own.
type hub[T comparable] struct {
	mu   sync.RWMutex // guards subs, held for reading during a fan-out
	subs map[T]struct{}
}

func (h *hub[T]) add(sub T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == nil {
		h.subs = map[T]struct{}{}
	}
	h.subs[sub] = struct{}{}
}

func (h *hub[T]) remove(sub T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, sub)
}

// each yields the subscribers.
func (h *hub[T]) each(yield func(T) bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for sub := range h.subs {
		if !yield(sub) {
			return
		}
	}
}
