package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/sallyport/sallyport/seal"
)

// Bounds of what a Seal remembers.
const (
	reuse          = 5 * time.Minute // of a list of keys, before the next is asked for
	maxAuthorities = 1000
)

// known is what a Seal remembers of an authority.
type known struct {
	document seal.Document
	at       time.Time // when it was accepted, by the wall's clock
}

// unjudged is why there is no list of keys to judge: of the network, of a server
// that is busy, of the program itself. Trying again may help.
type unjudged struct{ error }

func (u unjudged) Unwrap() error { return u.error }

// noKeys makes an error of its own a local.keys.
func noKeys(err error) error { return &seal.Error{Fault: seal.FaultDocument, Cause: err} }

// sealingKey is the key of the server to use now. fresh: not from a list that was
// fetched before. Without a Seal it is empty.
func (p *plan) sealingKey(ctx context.Context, fresh bool) (seal.Entry, error) {
	if p.Seal == nil {
		return seal.Entry{}, nil
	}
	s, now := p.Seal, time.Now().Round(0)
	stored, err := s.stored(ctx, p.seal.at.Authority)
	if err != nil {
		return seal.Entry{}, err
	}
	// Another program may have seen a newer list.
	if document, ok := s.recent(p.seal.at.Authority, now); ok && !fresh && document.Generation >= stored {
		if key, err := document.Pick(now, s.Suites...); err == nil {
			return key, nil
		}
	}
	raw, err := p.fetchKeys(ctx, fresh)
	if err != nil {
		return seal.Entry{}, noKeys(fmt.Errorf("get the list of sealing keys: %w", err))
	}
	document, err := s.accept(ctx, raw, p.seal)
	if err != nil {
		return seal.Entry{}, err
	}
	return document.Pick(time.Now(), s.Suites...)
}

// stored is what Generations knows of authority.
func (s *Seal) stored(ctx context.Context, authority string) (uint32, error) {
	if s.Generations == nil {
		return 0, nil
	}
	stored, err := s.Generations.Load(ctx, authority)
	if err != nil {
		return 0, noKeys(unjudged{fmt.Errorf("load the generation: %w", err)})
	}
	return stored, nil
}

// recent is a document that was accepted a short time ago.
func (s *Seal) recent(authority string, now time.Time) (seal.Document, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.known[authority]
	return k.document, ok && !now.Before(k.at) && now.Before(k.at.Add(reuse)) && now.Before(k.document.Expires)
}

// fetchKeys gets a document, which proves itself.
func (p *plan) fetchKeys(ctx context.Context, fresh bool) ([]byte, error) {
	if p.Seal.Keys != nil {
		raw, err := p.Seal.Keys(ctx, fresh)
		if err != nil {
			return nil, unjudged{err}
		}
		return raw, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.seal.keysURL, nil)
	if err != nil {
		return nil, err
	}
	if fresh {
		r.Header.Set("Cache-Control", "no-cache")
	}
	answer, err := p.seal.http.Do(r)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL: its query may hold anything
		}
		return nil, unjudged{err}
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, seal.MaxDocument+1))
	switch status := answer.StatusCode; {
	case status == http.StatusTooManyRequests, status >= 500:
		return nil, unjudged{fmt.Errorf("status %d", status)}
	case status != http.StatusOK:
		return nil, fmt.Errorf("status %d", status)
	case err != nil:
		return nil, unjudged{err}
	case len(raw) > seal.MaxDocument:
		return nil, errors.New("it is larger than 16 KiB")
	}
	return raw, nil
}

// accept verifies a document and remembers its generation. One at a time, so that
// no older one is remembered after a newer.
func (s *Seal) accept(ctx context.Context, raw []byte, p *sealPlan) (seal.Document, error) {
	turn := s.queue()
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return seal.Document{}, noKeys(unjudged{context.Cause(ctx)})
	}
	authority, now := p.at.Authority, time.Now().Round(0)
	highest, ok := s.generation(authority)
	if !ok {
		return seal.Document{}, noKeys(fmt.Errorf("one Seal serves %d servers at most", maxAuthorities))
	}
	stored, err := s.stored(ctx, authority)
	if err != nil {
		return seal.Document{}, err
	}
	document, err := seal.Verify(raw, seal.Policy{Pins: p.pins, Authority: authority, Generation: max(highest, stored), Now: now})
	if err != nil {
		return seal.Document{}, err
	}
	if s.Generations != nil && document.Generation > stored {
		if err := s.Generations.Store(ctx, authority, document.Generation); err != nil {
			return seal.Document{}, noKeys(unjudged{fmt.Errorf("store the generation: %w", err)})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[authority] = known{document, now}
	return document, nil
}

// queue is a channel that holds whoever accepts a document.
func (s *Seal) queue() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn == nil {
		s.turn, s.known = make(chan struct{}, 1), map[string]known{}
	}
	return s.turn
}

// generation is the highest that was accepted from authority; ok is false if
// nothing more can be remembered.
func (s *Seal) generation(authority string) (highest uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, before := s.known[authority]
	return k.document.Generation, before || len(s.known) < maxAuthorities
}
