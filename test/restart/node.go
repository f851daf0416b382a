package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"
)

// node is one process `sallyport serve`.
type node struct {
	name           string
	listen, health string
	command        *exec.Cmd
	exited         chan struct{} // closed when the process is gone, after err is set
	err            error

	leaving atomic.Bool // the harness has told it to stop
	ready   atomic.Bool // what the balancer saw last
}

// startWait is how long a node may take until it serves.
const startWait = 20 * time.Second

// start runs a node with the configuration and waits until it serves. Its log is
// kept beside the configuration.
func start(ctx context.Context, o options, name, config string) (*node, error) {
	log, err := os.Create(filepath.Join(filepath.Dir(config), name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	n := &node{name: name, exited: make(chan struct{})}
	n.command = exec.Command(o.sallyport, "serve", "-c", config)
	n.command.Stderr = writer
	err = n.command.Start()
	writer.Close()
	if err != nil {
		reader.Close()
		return nil, err
	}
	own, err := os.OpenFile(log.Name(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		n.kill()
		return nil, err
	}
	serving := make(chan struct{})
	go func() { // ends with the process, which kill or terminate ends
		defer reader.Close()
		defer own.Close()
		n.follow(bufio.NewScanner(reader), own, serving)
		n.err = n.command.Wait()
		close(n.exited)
	}()
	select {
	case <-serving:
		return n, nil
	case <-n.exited:
		return nil, fmt.Errorf("node %s ended (%w); see %s", name, n.err, log.Name())
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-time.After(startWait):
		err = fmt.Errorf("node %s did not serve within %s", name, startWait)
	}
	n.kill()
	return nil, err
}

// follow copies the log and takes the addresses from it.
func (n *node) follow(lines *bufio.Scanner, log *os.File, serving chan struct{}) {
	for lines.Scan() {
		log.Write(append(lines.Bytes(), '\n'))
		var line struct{ Msg, Listen, Health string }
		if n.listen == "" && json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			n.listen, n.health = line.Listen, line.Health
			close(serving)
		}
	}
}

// signal tells the process to stop.
func (n *node) signal(s os.Signal) error {
	n.leaving.Store(true)
	return n.command.Process.Signal(s)
}

// gone waits for the end of the process; err is nil if it ended as it should.
func (n *node) gone(ctx context.Context, patience time.Duration) error {
	select {
	case <-n.exited:
		return n.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(patience):
		return errors.New("node " + n.name + " does not end")
	}
}

func (n *node) kill() {
	n.leaving.Store(true)
	n.command.Process.Kill()
}
