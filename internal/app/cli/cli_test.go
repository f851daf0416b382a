package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/app"
)

func TestHealthAddress(t *testing.T) {
	dir := t.TempDir()
	file := func(name, health string) string {
		path := filepath.Join(dir, name)
		text := health + "\nstate: memory\ntls: {dev: true}\ngates:\n  - path: /chat\n    to: ws://127.0.0.1:3000\n" +
			"    origins: [\"https://localhost:5173\"]\n    auth: {anonymous: \"nothing here is worth guarding\"}\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, everywhere, off, broken := file("good.yaml", `health: "127.0.0.1:9191"`), file("all.yaml", `health: "0.0.0.0:9191"`), file("off.yaml", "health: off"), file("broken.yaml", "helth: x")
	for _, row := range []struct {
		name       string
		files, env []string
		want       string
		code       int
		warned     bool
	}{
		{name: "nobody says", want: "127.0.0.1:9090"},
		{name: "a file", files: []string{good}, want: "127.0.0.1:9191"},
		{name: "a file of the environment", env: []string{"SALLYPORT_CONFIG=" + good}, want: "127.0.0.1:9191"},
		{name: "the environment", env: []string{"SALLYPORT_HEALTH=127.0.0.1:7"}, want: "127.0.0.1:7"},
		{name: "the environment wins over the file", files: []string{good}, env: []string{"SALLYPORT_HEALTH=127.0.0.1:7"}, want: "127.0.0.1:7"},
		{name: "all interfaces are asked on loopback", files: []string{everywhere}, want: "127.0.0.1:9191"},
		{name: "all interfaces of IPv6, too", env: []string{"SALLYPORT_HEALTH=[::]:7"}, want: "[::1]:7"},
		{name: "no listener", files: []string{off}, code: exitUnreachable},
		{name: "a file with mistakes", files: []string{broken}, code: exitConfig},
		{name: "a file of the environment that was broken while the server runs", env: []string{"SALLYPORT_CONFIG=" + broken}, want: "127.0.0.1:9090", warned: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			var errs bytes.Buffer
			got, err := healthAddress(Streams{Err: &errs, Env: row.env}, row.files, "127.0.0.1:9090")
			code := exitOK
			if err != nil {
				code, _ = judge(err)
			}
			if got != row.want || code != row.code || (errs.Len() > 0) != row.warned {
				t.Errorf("got %q, %v, %q", got, err, errs.String())
			}
		})
	}
}

func TestBusyAddressesHaveTheirSettings(t *testing.T) {
	bind := func(setting, address string, err error) error {
		return &app.BindError{Setting: setting, Address: address, Err: err}
	}
	inUse := fmt.Errorf("bind: %w", syscall.EADDRINUSE)
	for _, row := range []struct {
		name string
		err  error
		want string
	}{
		{"the public one", bind("listen", ":8443", inUse), "--listen :8444"},
		{"that of health", bind("health", "127.0.0.1:9090", inUse), "--set health=127.0.0.1:9091, or --set health=off"},
		{"the administrator's", bind("admin", "[::1]:65535", inUse), "--set admin.listen=[::1]:65534, or --set admin.listen=unix"},
		{"a name for a port", bind("listen", "localhost:https", inUse), "--listen host:port"},
		{"two, and another mistake", errors.Join(fmt.Errorf("start: %w", errors.Join(bind("listen", ":1", inUse), errors.New("x"))), bind("health", ":2", inUse)),
			"--listen :2\nanother process listens there; choose another by --set health=:3"},
		{"not busy but forbidden", bind("listen", ":443", syscall.EACCES), ""},
		{"none of ours", inUse, ""},
	} {
		if got := busy(row.err); !strings.Contains(got, row.want) || row.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}

func TestRoughly(t *testing.T) {
	for d, want := range map[time.Duration]string{
		400 * time.Millisecond: "0s", 59*time.Second + 600*time.Millisecond: "1m0s", 59*time.Minute + 59*time.Second + 700*time.Millisecond: "1h",
		time.Hour: "1h", 90 * time.Minute: "1h30m", 10*time.Hour + 10*time.Second: "10h", 47*time.Hour + 59*time.Minute: "47h59m",
		48*time.Hour - time.Second: "2 days", 10*24*time.Hour + time.Second: "10 days", 1<<63 - 1: "more than 100 years",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%d: got %s, want %s", d, got, want)
		}
	}
}
