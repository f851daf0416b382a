package load

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"math/big"
	"sync"
	"time"
)

// client is one of those whom the load consists of: it has one connection at a
// time, or none.
type client struct {
	run   *run
	index int

	session session // of TLS

	mu    sync.Mutex // guards the rest
	conn  *conn      // while it is open
	again again
}

// again says what a client does when its connection has ended.
type again int

const (
	stays  again = iota // it stays away
	churns              // it comes back once
	storms              // it comes back as soon as it can
)

// arrive opens the client's first connection and lives.
func (c *client) arrive(ctx context.Context, address string) {
	conn, early, err := c.enter(ctx, address)
	c.run.book.triedOne()
	if err == nil {
		c.live(ctx, address, conn, early)
	}
}

// live stays with a connection, and comes back as often as the client is told to.
func (c *client) live(ctx context.Context, address string, conn *conn, early []byte) {
	var err error
	for err == nil {
		e := conn.read(early)
		c.mu.Lock()
		c.conn = nil
		then := c.again
		c.again = stays
		c.mu.Unlock()
		c.run.book.left(e)
		switch {
		case then == stays || ctx.Err() != nil:
			return
		case then == churns:
			conn, early, err = c.enter(ctx, address)
			c.run.book.churnedOne(err)
		default:
			conn, early, err = c.comeBack(address)
		}
	}
}

// enter opens a connection and lets it begin. At most Handshakes are at it.
func (c *client) enter(ctx context.Context, address string) (*conn, []byte, error) {
	r := c.run
	select {
	case r.handshakes <- struct{}{}:
		defer func() { <-r.handshakes }()
	case <-ctx.Done():
		return nil, nil, &FailedError{"connect", ctx.Err()}
	}
	conn, early, err := c.open(ctx, address)
	if err != nil {
		if ctx.Err() == nil {
			r.book.kept(err)
		}
		return nil, nil, err
	}
	c.mu.Lock()
	c.conn = conn
	over := r.closing.Load()
	c.mu.Unlock()
	if over { // the run ended while this was opened
		conn.leave()
	} else if conn.interval > 0 {
		r.pacer.add(conn)
	}
	return conn, early, nil
}

func (c *client) open(ctx context.Context, address string) (*conn, []byte, error) {
	r := c.run
	secret, err := r.ticket()
	if err != nil {
		return nil, nil, err
	}
	var sessions tls.ClientSessionCache
	if r.plan.Resume {
		sessions = &c.session
	}
	socket, early, took, state, err := r.plan.open(ctx, address, c.index, secret, sessions)
	if err != nil {
		return nil, nil, err
	}
	var agreed *TLS
	resumed := false
	below := socket
	if state != nil {
		agreed = &TLS{Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite)}
		if state.CurveID != 0 {
			agreed.Group = state.CurveID.String()
		}
		resumed = state.DidResume
		below = socket.(*tls.Conn).NetConn()
	}
	r.book.entered(took, agreed, resumed)
	conn := newConn(r, socket, below, r.ids.Add(1))
	conn.begin, conn.interval = r.place(c.index), r.plan.interval
	return conn, early, nil
}

// comeBack opens a connection after a storm, again and again, after random waits
// of at most 0.1, 0.2, 0.4 … 2 s.
func (c *client) comeBack(address string) (*conn, []byte, error) {
	r := c.run
	ctx := r.storm.ctx
	select {
	case <-r.storm.begin:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	for longest := 100 * time.Millisecond; ; longest = min(2*longest, 2*time.Second) {
		r.book.attempt()
		conn, early, err := c.enter(ctx, address)
		if err == nil {
			r.book.cameBack(r.now() - r.storm.at.Load())
			return conn, early, nil
		}
		wait := time.NewTimer(random(longest))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, nil, ctx.Err()
		}
	}
}

// random is a time of at most d, so that those who were refused together do not
// come back together.
func random(d time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(d)))
	if err != nil {
		return d
	}
	return time.Duration(n.Int64())
}

// current is the connection, nil while there is none.
func (c *client) current() *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// end has the client's connection end, and reports whether it does so for this
// reason. then is what comes after that.
func (c *client) end(then again, how func(*conn)) bool {
	c.mu.Lock()
	conn, free := c.conn, c.again == stays
	if conn != nil && free {
		c.again = then
	}
	c.mu.Unlock()
	if conn == nil || !free && then != stays {
		return false
	}
	how(conn)
	return true
}

// session keeps the last TLS session of one client: it resumes its own alone, as
// browsers do.
type session struct {
	mu    sync.Mutex // guards state
	state *tls.ClientSessionState
}

func (s *session) Get(string) (*tls.ClientSessionState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.state != nil
}

func (s *session) Put(_ string, state *tls.ClientSessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}
