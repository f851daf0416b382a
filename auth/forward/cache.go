package forward

import (
	"container/list"
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/auth"
)

type cacheKey = [sha256.Size]byte

// cache keeps admissions for cacheFor, the least recently used go first. What is
// dropped is erased, at the latest when its time is over.
type cache struct {
	mu      sync.Mutex // guards all below; never held while the application is asked
	entries map[cacheKey]*list.Element
	order   *list.List // of *entry, the most recently used first
	dropped uint64     // counts the calls of forget
	sweeper *time.Timer
}

type entry struct {
	key cacheKey
	id  auth.Identity
	end time.Time
}

func newCache() *cache {
	return &cache{entries: map[cacheKey]*list.Element{}, order: list.New()}
}

// era changes with every forget. An answer that was asked for in an earlier era
// may be that of a user who has since left, and is not kept.
func (c *cache) era() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped
}

func (c *cache) get(key cacheKey) (auth.Identity, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.entries[key]
	if !ok {
		return auth.Identity{}, false
	}
	e := el.Value.(*entry)
	now := time.Now()
	if !now.Before(e.end) || !e.id.Expires.IsZero() && !now.Before(e.id.Expires) {
		c.drop(el)
		return auth.Identity{}, false
	}
	c.order.MoveToFront(el)
	return own(e.id), true
}

// put keeps id until cacheFor after the question was asked.
func (c *cache) put(key cacheKey, id auth.Identity, asked time.Time, era uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := asked.Add(cacheFor)
	if era != c.dropped || !time.Now().Before(end) {
		return
	}
	if el, ok := c.entries[key]; ok {
		c.drop(el)
	}
	c.entries[key] = c.order.PushFront(&entry{key, own(id), end})
	if c.order.Len() > maxEntries {
		c.drop(c.order.Back())
	}
	if c.sweeper == nil {
		c.sweeper = time.AfterFunc(cacheFor, c.sweep)
	}
}

// sweep drops what has ended, and comes again if anything is left.
func (c *cache) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.dropIf(func(e *entry) bool { return !now.Before(e.end) })
	c.sweeper = nil
	if c.order.Len() > 0 {
		c.sweeper = time.AfterFunc(cacheFor, c.sweep)
	}
}

func (c *cache) forget(match func(auth.Identity) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped++
	c.dropIf(func(e *entry) bool { return match(e.id) })
	if c.order.Len() == 0 && c.sweeper != nil {
		c.sweeper.Stop()
		c.sweeper = nil
	}
}

func (c *cache) dropIf(match func(*entry) bool) {
	for el := c.order.Front(); el != nil; {
		next := el.Next()
		if match(el.Value.(*entry)) {
			c.drop(el)
		}
		el = next
	}
}

func (c *cache) drop(el *list.Element) {
	e := c.order.Remove(el).(*entry)
	delete(c.entries, e.key)
	clear(e.id.Handle)
}

// own is id with slices of its own: its holder may clear the handle.
func own(id auth.Identity) auth.Identity {
	id.Scopes, id.Handle = slices.Clone(id.Scopes), slices.Clone(id.Handle)
	return id
}

// group lets the callers of one key share one call.
type group struct {
	mu    sync.Mutex // guards calls, not the calling
	calls map[cacheKey]*call
}

// call is in progress until done is closed, by the goroutine that makes it,
// after id and err are set.
type call struct {
	done chan struct{}
	id   auth.Identity
	err  error
}

// do calls f, unless a call of key is in progress: then it waits for that one,
// at most as long as ctx lives. f does not end with ctx, since others wait for
// it; it has a bound of its own.
func (g *group) do(ctx context.Context, key cacheKey, f func() (auth.Identity, error)) (auth.Identity, error) {
	g.mu.Lock()
	if c, ok := g.calls[key]; ok {
		g.mu.Unlock()
		select {
		case <-c.done:
			return own(c.id), c.err
		case <-ctx.Done():
			return auth.Identity{}, unavailable("wait for the answer: %w", ctx.Err())
		}
	}
	if g.calls == nil {
		g.calls = map[cacheKey]*call{}
	}
	c := &call{done: make(chan struct{}), err: unavailable("the question was not completed")}
	g.calls[key] = c
	g.mu.Unlock()

	defer func() {
		g.mu.Lock()
		if g.calls[key] == c {
			delete(g.calls, key)
		}
		g.mu.Unlock()
		close(c.done)
	}()
	c.id, c.err = f()
	return own(c.id), c.err
}

// part makes later callers ask anew instead of joining what is in progress.
func (g *group) part() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = nil
}
