package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/admin"
)

// door is one process under test.
type door struct {
	name           string // "poll, relayed"
	engine         string // "poll" or "portable"
	kind           kind   // relayed: `sallyport serve`; handled: see direct
	listen, health string
	sessions       tls.ClientSessionCache // of clients that resume

	site    *site
	backend string // ws URL
	config  string // file; relayed only
	state   string
	admin   *admin.Client // relayed only
	command *exec.Cmd
	exited  chan struct{} // closed when the process is gone
}

// startWait is how long a door may take until it serves.
const startWait = 20 * time.Second

// startDoor runs a door. Its log is left in the site's directory.
func startDoor(s *site, program, engine string, k kind, backend string) (*door, error) {
	name := engine + ", direct"
	if k == relayed {
		name = engine + ", relayed"
	}
	base := s.file(fmt.Sprintf("%s-%d", engine, k))
	d := &door{
		name: name, engine: engine, kind: k, site: s, backend: backend, sessions: tls.NewLRUClientSessionCache(8),
		config: base + ".yaml", state: base + ".state", exited: make(chan struct{}),
	}
	if k == relayed {
		if err := d.configure(false); err != nil {
			return nil, err
		}
		d.command = exec.Command(program, "serve", "-c", d.config)
		d.admin = admin.NewClient("unix", d.state, "")
	} else {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		d.command = exec.Command(self, "-direct", s.dir, "-engines", engine)
	}
	d.command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}
	d.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return d, d.begin(base + ".log")
}

// configure writes the file of a relaying door.
func (d *door) configure(guests bool) error {
	engine := "auto"
	if d.engine == "portable" {
		engine = d.engine
	}
	return d.site.configure(d.config, d.state, engine, d.backend, guests)
}

// begin starts the process and waits until it serves.
func (d *door) begin(logFile string) error {
	log, err := os.Create(logFile)
	if err != nil {
		return err
	}
	lines, err := d.command.StderrPipe()
	if err != nil {
		return err
	}
	if err := d.command.Start(); err != nil {
		return err
	}
	serving := make(chan string, 1)
	go func() { // ends with the process
		defer close(d.exited)
		defer log.Close()
		for scan := bufio.NewScanner(lines); scan.Scan(); {
			var line struct{ Level, Msg, Listen, Health, Engine string }
			if json.Unmarshal(scan.Bytes(), &line) != nil || line.Level != "INFO" || line.Msg == "serving" {
				log.Write(append(scan.Bytes(), '\n')) // without the access log, which would fill the disk
			}
			if line.Msg == "serving" {
				d.listen, d.health = line.Listen, line.Health
				serving <- line.Engine
			}
		}
		d.command.Wait()
	}()
	select {
	case engine := <-serving:
		if engine != d.engine {
			return fmt.Errorf("the door runs %q; wanted %q", engine, d.engine)
		}
		return nil
	case <-d.exited:
		return fmt.Errorf("the door %s ended; see %s", d.name, filepath.Base(logFile))
	case <-time.After(startWait):
		return fmt.Errorf("the door %s does not serve", d.name)
	}
}

func (d *door) alive() bool {
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

// revoke ends whoever has a subject.
func (d *door) revoke(ctx context.Context, subject string) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	n, err := 0, error(nil)
	if d.kind == relayed {
		n, err = d.admin.Revoke(within, guard.Match{Issuer: issuer, Subject: subject})
	} else {
		err = d.order(within, "/revoke", url.Values{"subject": {subject}}, &n)
	}
	if err == nil && n != 1 {
		err = fmt.Errorf("%d connections were revoked, want 1", n)
	}
	return err
}

// reload has new certificates and a new list of origins adopted.
func (d *door) reload(ctx context.Context, guests bool) error {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if d.kind != relayed {
		return d.order(within, "/reload", url.Values{"guests": {fmt.Sprint(guests)}}, new(int))
	}
	if err := d.configure(guests); err != nil {
		return err
	}
	return d.admin.Reload(within)
}

// order asks a direct door.
func (d *door) order(ctx context.Context, path string, form url.Values, n *int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.health+path+"?"+form.Encode(), nil)
	if err != nil {
		return err
	}
	r.Close = true
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %s", path, response.Status, text)
	}
	_, err = fmt.Sscan(string(text), n)
	return err
}

// stop ends the door, which must drain in time.
func (d *door) stop() error {
	d.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.exited:
		if code := d.command.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("the door %s ended with %d", d.name, code)
		}
		return nil
	case <-time.After(startWait):
		d.command.Process.Kill()
		<-d.exited
		return errors.New("the door " + d.name + " did not end")
	}
}
