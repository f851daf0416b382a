package demo

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/deny"
)

// The client in page/sallyport.js and the seal in page/crypto.js are what js/client
// builds.
//
//go:generate go test -run TestThePageHasTheClientAsItIsBuilt -update .

//go:embed page
var pages embed.FS

// mediaTypes of what is embedded, by ending.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json",
	".keys": "application/octet-stream",
	".svg":  "image/svg+xml",
}

// site serves a handful of files from memory, by their exact path.
type site struct {
	origin string // those who come by another name are sent here; empty: nobody is
	files  map[string][]byte
}

// siteConfig is what the page names: origins, and of the seal the pin and the key
// document of the door as it is known through the relay. The page's policy lets it
// fetch from its own origin alone, and who carries a signed list does not matter.
type siteConfig struct {
	Origin, Evil, Middle string
	Pin                  string
	Keys                 []byte
}

// newSite is the demo's page, the door's App.
func newSite(c siteConfig) (*site, error) {
	s := &site{origin: c.Origin, files: map[string][]byte{"/reasons.json": reasons(), "/middle.keys": c.Keys}}
	values := map[string]any{
		"Origin": c.Origin, "Host": hostOf(c.Origin), "Evil": c.Evil, "Middle": c.Middle, "MiddleHost": hostOf(c.Middle), "Pin": c.Pin,
	}
	return s, s.load(values, map[string]string{
		"/": "index.html", "/app.css": "app.css", "/app.js": "app.js", "/icon.svg": "icon.svg",
		"/sallyport.js": "sallyport.js", "/network.js": "network.js", "/story.js": "story.js",
		"/crypto.js": "crypto.js", "/middle.js": "middle.js",
	})
}

// newEvilPage is the other page. It comes without any of the door's headers, as
// such pages do.
func newEvilPage(door string) http.Handler {
	s := &site{files: map[string][]byte{}}
	err := s.load(map[string]any{"Door": door, "Host": hostOf(door)}, map[string]string{
		"/": "evil.html", "/evil.css": "evil.css", "/evil.js": "evil.js",
	})
	if err != nil {
		panic(err) // what is embedded is right, or no test passes
	}
	return s
}

// load reads files and fills in the HTML ones.
func (s *site) load(values map[string]any, files map[string]string) error {
	for path, name := range files {
		data, err := pages.ReadFile("page/" + name)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, ".html") {
			t, err := template.New(name).Parse(string(data))
			if err != nil {
				return err
			}
			var out bytes.Buffer
			if err := t.Execute(&out, values); err != nil {
				return err
			}
			data = out.Bytes()
		}
		s.files[path] = data
	}
	return nil
}

// reasons is the sentence for each reason's code.
func reasons() []byte {
	sentences := map[string]string{}
	for _, r := range deny.All() {
		sentences[r.Code()] = r.Sentence()
	}
	out, err := json.Marshal(sentences)
	if err != nil {
		panic(fmt.Sprintf("demo: reasons: %v", err)) // strings always can be written
	}
	return out
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, ok := s.files[r.URL.Path]
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "There is only something to read here.", http.StatusMethodNotAllowed)
	case !ok:
		http.Error(w, "There is nothing at this path.", http.StatusNotFound)
	case s.origin != "" && "https://"+r.Host != s.origin:
		http.Redirect(w, r, s.origin+r.URL.Path, http.StatusTemporaryRedirect)
	default:
		w.Header().Set("Content-Type", mediaType(r.URL.Path))
		w.Header().Set("Cache-Control", "no-cache")
		w.Write(file) // a client that went away is nobody to tell
	}
}

func mediaType(path string) string {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return mediaTypes[path[i:]]
	}
	return mediaTypes[".html"]
}
