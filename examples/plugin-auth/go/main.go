// Lets pass what has the headers that a file names: checker -c checkconf.json
package main

import (
	"encoding/json"
	"flag"
	"log"
	"os"

	"weir.dev/plugin"
)

type checker map[string]string

func (c checker) OnRequestHeaders(_ *plugin.Stream, headers *plugin.Headers, _ bool) plugin.Result {
	for name, value := range c {
		if headers.Get(name) != value {
			return plugin.Reply{Status: 403, Body: []byte("forbidden by a plugin\n")}
		}
	}
	return nil
}

func main() {
	file := flag.String("c", "checkconf.json", "the headers that a request must have")
	flag.Parse()
	text, err := os.ReadFile(*file)
	if err != nil {
		log.Fatal(err)
	}
	var wanted checker
	if err := json.Unmarshal(text, &wanted); err != nil {
		log.Fatal(err)
	}
	plugin.Serve(plugin.Options{Filter: func(json.RawMessage) (any, error) { return wanted, nil }})
}
