package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// orders are what a process of clients is told, as its one argument, in JSON.
type orders struct {
	Port   int     `json:"port"` // of the balancer
	Path   string  `json:"path"`
	Domain string  `json:"domain"`
	First  int     `json:"first"` // number of its first client
	Count  int     `json:"count"`
	Every  float64 `json:"every"`  // seconds between two messages of one client
	Ramp   float64 `json:"ramp"`   // seconds over which clients start
	Life   float64 `json:"life"`   // seconds of a token
	Stable float64 `json:"stable"` // seconds after which a connection is trusted

	Issuer   string `json:"issuer"`
	Audience string `json:"audience"`
	Secret   string `json:"secret"`
	CA       string `json:"ca"`
}

// line is what such a process writes, in JSON, one to a line: how many of its
// clients are open, whenever that changes; and after it was told to stop the
// accounts, and its summary as the last.
type line struct {
	Open    *int     `json:"open"`
	Late    float64  `json:"late"` // seconds
	Account *account `json:"account"`
	Summary *summary `json:"summary"`
}

// summary is what a process of clients saw.
type summary struct {
	Ends    map[string]int `json:"ends"` // of connections and attempts, by reason
	Renewed int            `json:"renewed"`
	Runtime string         `json:"runtime"`
}

// lookEvery is how often a process looks whether it is late, and lateFrom on it
// says so.
const (
	lookEvery = 50 * time.Millisecond
	lateFrom  = 100 * time.Millisecond
)

// name of client i.
func name(i int) string { return fmt.Sprintf("c%04d", i) }

// crowd are all clients, in some processes.
type crowd struct {
	processes []*process

	mu       sync.Mutex // guards what follows
	accounts []account
	sums     []summary
	late     time.Duration // in all, of the process that was worst
}

type process struct {
	command *exec.Cmd
	stdin   io.WriteCloser
	open    int           // guarded by crowd.mu
	late    time.Duration // guarded by crowd.mu
	ended   chan struct{}
	err     error // once ended is closed
}

// gather starts the clients.
func gather(ctx context.Context, o options, kind string, s *site) (*crowd, error) {
	c := &crowd{}
	processes := 1
	var arguments []string
	switch kind {
	case "go":
		own, err := os.Executable()
		if err != nil {
			return nil, err
		}
		arguments = []string{own, "drive"}
	case "js":
		driver, err := filepath.Abs("test/restart/drive.mjs")
		if err != nil {
			return nil, err
		}
		arguments = []string{o.node, driver}
		if o.clients > 500 {
			processes = 2
		}
	default:
		return nil, errors.New("there are clients js and go, not " + strconv.Quote(kind))
	}
	for i := range processes {
		first, last := o.clients*i/processes, o.clients*(i+1)/processes
		text, err := json.Marshal(orders{
			Port: s.port, Path: gate, Domain: domain, First: first, Count: last - first,
			Every: o.every.Seconds(), Ramp: o.ramp.Seconds(), Life: o.life.Seconds(), Stable: o.stable.Seconds(),
			Issuer: issuer, Audience: audience, Secret: s.secret, CA: s.ca,
		})
		if err != nil {
			return nil, err
		}
		command := exec.CommandContext(ctx, arguments[0], append(arguments[1:], string(text))...)
		command.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+s.ca, "CLIENT="+o.module)
		if err := c.begin(command, filepath.Join(s.dir, fmt.Sprintf("clients-%d.log", i))); err != nil {
			c.kill()
			return nil, err
		}
	}
	return c, nil
}

func (c *crowd) begin(command *exec.Cmd, log string) error {
	file, err := os.Create(log)
	if err != nil {
		return err
	}
	defer file.Close()
	p := &process{command: command, ended: make(chan struct{})}
	command.Stderr = file
	if p.stdin, err = command.StdinPipe(); err != nil {
		return err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	c.processes = append(c.processes, p)
	go func() { // ends with the process, which stop or kill ends
		defer close(p.ended)
		last := c.listen(p, out)
		err := command.Wait()
		if err != nil || !last {
			p.err = fmt.Errorf("a process of clients ended early (%v); see %s", err, log)
		}
	}()
	return nil
}

// listen reads everything; last reports whether the summary came.
func (c *crowd) listen(p *process, out io.Reader) (last bool) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue
		}
		c.mu.Lock()
		p.late += time.Duration(l.Late * float64(time.Second))
		c.late = max(c.late, p.late)
		switch {
		case l.Open != nil:
			p.open = *l.Open
		case l.Account != nil:
			c.accounts = append(c.accounts, *l.Account)
		case l.Summary != nil:
			c.sums = append(c.sums, *l.Summary)
			last = true
		}
		c.mu.Unlock()
	}
	return last
}

// open counts the clients that say that they are.
func (c *crowd) open() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.processes {
		n += p.open
	}
	return n
}

// stood is for how long the process that was worst has stood still so far.
func (c *crowd) stood() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.late
}

// failed is set if a process has ended.
func (c *crowd) failed() error {
	for _, p := range c.processes {
		select {
		case <-p.ended:
			return errors.Join(errors.New("clients are gone"), p.err)
		default:
		}
	}
	return nil
}

// stop has the clients finish and returns their accounts.
func (c *crowd) stop(ctx context.Context) ([]account, []summary, error) {
	for _, p := range c.processes {
		p.stdin.Close()
	}
	for _, p := range c.processes {
		select {
		case <-p.ended:
			if p.err != nil {
				return nil, nil, p.err
			}
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(finishWait):
			return nil, nil, errors.New("the clients do not finish")
		}
	}
	return c.accounts, c.sums, nil
}

// finishWait is how long clients may take to send what waits and to close.
const finishWait = time.Minute

func (c *crowd) kill() {
	for _, p := range c.processes {
		p.command.Process.Kill()
		<-p.ended
	}
}
