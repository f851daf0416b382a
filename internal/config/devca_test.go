package config

import "testing"

func TestDevCACommand(t *testing.T) {
	for _, c := range []struct{ name, dir, from, want string }{
		{"the home directory is where the command looks", "/home/a/.local/state/sallyport", "env HOME", "sallyport dev-ca"},
		{"and so is that of the desktop", "/x/sallyport", "env XDG_STATE_HOME", "sallyport dev-ca"},
		{"a service manager's is unknown to the person's shell", "/var/lib/sallyport", "env STATE_DIRECTORY", "sallyport dev-ca --state /var/lib/sallyport"},
		{"that of a flag", "/tmp/s", "flag --state", "sallyport dev-ca --state /tmp/s"},
		{"that of a file", "/tmp/s", "a.yaml", "sallyport dev-ca --state /tmp/s"},
		{"one word for the shell", "/tmp/it's here; $(x)", "flag --state", `sallyport dev-ca --state '/tmp/it'\''s here; $(x)'`},
	} {
		if got := DevCACommand(c.dir, c.from); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
