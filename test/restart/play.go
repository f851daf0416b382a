package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// stage is one replacement of a node.
type stage struct {
	title   string
	began   time.Time
	before  int           // connections on the node
	window  time.Duration // over which clients were told to move; 0: they were not
	ended   time.Duration // until the process was gone
	back    time.Duration // until everybody had a connection to a node that stays
	late    time.Duration // for which this process and one of clients stood still meanwhile
	moments []moment      // connections opened since
}

// scene is a scenario on its way.
type scene struct {
	options
	site     *site
	ledger   *ledger
	balancer *balancer
	clients  *crowd
	nodes    map[string]*node
	stages   []stage
	late     atomic.Int64 // nanoseconds that this process stood still
}

// watch measures lateness until ctx ends.
func (s *scene) watch(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		time.Sleep(lookEvery)
		if late := time.Since(began) - lookEvery; late > lateFrom {
			s.late.Add(int64(late))
		}
	}
}

func (s *scene) stood() time.Duration { return s.clients.stood() + time.Duration(s.late.Load()) }

// play runs one scenario: clients of a kind, and how nodes are replaced.
func play(ctx context.Context, o options, kind, how string) (*figures, error) {
	replace := map[string]func(*scene, context.Context, string) error{"rolling": (*scene).drain, "kill": (*scene).crash}[how]
	if replace == nil {
		return nil, errors.New("nodes are replaced by rolling or kill, not " + how)
	}
	s := &scene{options: o, ledger: newLedger(), nodes: map[string]*node{}}
	watching, end := context.WithCancel(ctx)
	defer end()
	go s.watch(watching) // ends with the scenario
	backend, err := record(s.ledger)
	if err != nil {
		return nil, err
	}
	defer backend.close()
	if s.balancer, err = balance(s.ledger); err != nil {
		return nil, err
	}
	defer s.balancer.close()
	if s.site, err = newSite(filepath.Join(o.out, kind+"-"+how), s.balancer.port(), "ws://"+backend.listener.Addr().String()); err != nil {
		return nil, err
	}
	defer s.killAll()
	for _, name := range []string{"A", "B"} {
		if err := s.start(ctx, name, nil); err != nil {
			return nil, err
		}
	}
	if s.clients, err = gather(ctx, o, kind, s.site); err != nil {
		return nil, err
	}
	defer s.clients.kill()
	if err := s.all(ctx, o.ramp+backWait); err != nil {
		return nil, fmt.Errorf("at the start: %w", err)
	}
	names := []string{"A", "B"}
	if how == "kill" {
		names = names[:1] // the other one takes over
	}
	for _, name := range names {
		if err := s.live(ctx); err != nil {
			return nil, err
		}
		if err := replace(s, ctx, name); err != nil {
			return nil, err
		}
	}
	if err := s.live(ctx); err != nil {
		return nil, err
	}
	accounts, summaries, err := s.clients.stop(ctx)
	if err != nil {
		return nil, err
	}
	s.quiet(ctx)
	return s.judge(kind, how, accounts, summaries), nil
}

// start runs a node, in place of old unless that is nil, with the state it had.
func (s *scene) start(ctx context.Context, name string, old *node) error {
	config, err := s.site.configure(name, s.options)
	if err != nil {
		return err
	}
	title := name
	if old != nil {
		title += "2"
	}
	n, err := start(ctx, s.options, title, config)
	if err != nil {
		return err
	}
	s.nodes[name] = n
	s.balancer.add(n, old)
	return s.wait(ctx, "the node to be ready", startWait, func() bool { return n.ready.Load() })
}

func (s *scene) killAll() {
	for _, n := range s.nodes {
		n.kill()
		<-n.exited
	}
}

// backWait is how long everybody may take to be back, beyond what was planned.
const backWait = 60 * time.Second

// drain replaces a node as an operator does: SIGTERM, wait, start the next.
func (s *scene) drain(ctx context.Context, name string) error {
	n := s.nodes[name]
	st := stage{title: "drain of " + name, before: s.ledger.on(n), began: time.Now(), late: -s.stood(), window: s.options.drain / 2}
	if err := n.signal(syscall.SIGTERM); err != nil {
		return err
	}
	// Clients are told after the delay. The window is looked at from there.
	if err := s.all(ctx, s.delay+s.options.drain+backWait); err != nil {
		return fmt.Errorf("%s: %w", st.title, err)
	}
	st.back = time.Since(st.began)
	if err := n.gone(ctx, s.delay+s.options.drain+10*time.Second); err != nil {
		return fmt.Errorf("%s: %w", st.title, err)
	}
	return s.again(ctx, name, st)
}

// crash replaces a node that ends without a word.
func (s *scene) crash(ctx context.Context, name string) error {
	n := s.nodes[name]
	st := stage{title: "kill of " + name, before: s.ledger.on(n), began: time.Now(), late: -s.stood()}
	if err := n.signal(os.Kill); err != nil {
		return err
	}
	<-n.exited
	if err := s.all(ctx, backWait); err != nil {
		return fmt.Errorf("%s: %w", st.title, err)
	}
	st.back = time.Since(st.began)
	return s.again(ctx, name, st)
}

// again starts the node that comes after n.
func (s *scene) again(ctx context.Context, name string, st stage) error {
	st.ended = time.Since(st.began)
	st.late += s.stood()
	st.moments = s.ledger.since(st.began)
	s.stages = append(s.stages, st)
	return s.start(ctx, name, s.nodes[name])
}

// all waits until every client has a connection to a node that stays, and says so.
func (s *scene) all(ctx context.Context, patience time.Duration) error {
	return s.wait(ctx, "everybody to be back", patience, func() bool {
		return s.ledger.homes() == s.options.clients && s.clients.open() == s.options.clients
	})
}

// live lets time pass.
func (s *scene) live(ctx context.Context) error {
	select {
	case <-time.After(s.pause):
		return s.clients.failed()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// quiet waits until the backend has nothing more to read.
func (s *scene) quiet(ctx context.Context) {
	count := func() (n int) {
		for _, node := range s.nodes {
			n += s.ledger.on(node)
		}
		return n
	}
	s.wait(ctx, "connections to end", 10*time.Second, func() bool { return count() == 0 })
	time.Sleep(500 * time.Millisecond) // what is between door and backend
}

func (s *scene) wait(ctx context.Context, what string, patience time.Duration, done func() bool) error {
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.clients != nil {
			if err := s.clients.failed(); err != nil {
				return err
			}
		}
		if time.Now().After(end) {
			open := 0
			if s.clients != nil {
				open = s.clients.open()
			}
			return fmt.Errorf("waited %s for %s: %d of %d have a connection, %d say so", patience, what, s.ledger.homes(), s.options.clients, open)
		}
	}
	return nil
}
