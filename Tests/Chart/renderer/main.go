// Renders a chart as `helm template` does, as far as this chart needs it, for machines without helm.
//
//	renderer CHART < request.json > documents.json
//
// The request holds the values, already merged and checked, and what helm knows besides. The answer has the text of each
// template by its path, or the error.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"github.com/ghodss/yaml"
)

// What helm gets from its command line and its cluster.
type request struct {
	Values      map[string]interface{} `json:"values"`
	Release     map[string]interface{} `json:"release"`
	KubeVersion string                 `json:"kubeVersion"`
	APIVersions []string               `json:"apiVersions"`
	// What there is in the cluster, for `lookup`.
	Objects []map[string]interface{} `json:"objects"`
}

// `.Capabilities.APIVersions`.
type versionSet []string

func (set versionSet) Has(version string) bool {
	for _, known := range set {
		if known == version {
			return true
		}
	}
	return false
}

// `.Capabilities.KubeVersion`.
type kubeVersion struct{ Version, Major, Minor string }

func (version kubeVersion) String() string { return version.Version }

// `.Files`: everything in the chart but what helm itself reads.
type files map[string][]byte

func (all files) Get(name string) string { return string(all[name]) }

func (all files) Glob(pattern string) files {
	found := files{}
	for name, content := range all {
		if matches, err := path.Match(pattern, name); err == nil && matches {
			found[name] = content
		}
	}
	return found
}

func readChart(root string) (templates map[string]string, other files, chart map[string]interface{}, err error) {
	templates, other = map[string]string{}, files{}
	err = filepath.Walk(root, func(place string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		content, err := os.ReadFile(place)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, place)
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(name, "templates/"):
			templates[name] = string(content)
		case name == "Chart.yaml":
			return yaml.Unmarshal(content, &chart)
		case name != "values.yaml" && name != "values.schema.json":
			other[name] = content
		}
		return nil
	})
	// In templates the keys of Chart.yaml begin with a capital.
	capitals := map[string]interface{}{}
	for key, value := range chart {
		capitals[strings.ToUpper(key[:1])+key[1:]] = value
	}
	return templates, other, capitals, err
}

func toYAML(value interface{}) string {
	text, err := yaml.Marshal(value)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(text), "\n")
}

// The object with this name, or, without one, a list; an empty map if there is none. With no objects it is as in
// `helm template`, which asks no cluster.
func lookup(objects []map[string]interface{}, version, kind, namespace, name string) map[string]interface{} {
	items := []interface{}{}
	for _, object := range objects {
		metadata, _ := object["metadata"].(map[string]interface{})
		its, _ := metadata["namespace"].(string)
		if object["apiVersion"] != version || object["kind"] != kind || namespace != "" && its != namespace {
			continue
		}
		if name != "" && metadata["name"] == name {
			return object
		}
		items = append(items, object)
	}
	if name != "" || len(items) == 0 {
		return map[string]interface{}{}
	}
	return map[string]interface{}{"apiVersion": version, "kind": kind + "List", "items": items}
}

func functions(root *template.Template, objects []map[string]interface{}) template.FuncMap {
	all := sprig.TxtFuncMap()
	delete(all, "env")
	delete(all, "expandenv")
	all["toYaml"] = toYAML
	all["fromYaml"] = func(text string) map[string]interface{} {
		value := map[string]interface{}{}
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			value["Error"] = err.Error()
		}
		return value
	}
	all["fromJson"] = func(text string) map[string]interface{} {
		value := map[string]interface{}{}
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			value["Error"] = err.Error()
		}
		return value
	}
	all["fromJsonArray"] = func(text string) []interface{} {
		value := []interface{}{}
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			value = []interface{}{err.Error()}
		}
		return value
	}
	all["include"] = func(name string, data interface{}) (string, error) {
		var out strings.Builder
		err := root.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	all["tpl"] = func(text string, data interface{}) (string, error) {
		clone, err := root.Clone()
		if err != nil {
			return "", err
		}
		parsed, err := clone.New("tpl").Parse(text)
		if err != nil {
			return "", err
		}
		var out strings.Builder
		err = parsed.Execute(&out, data)
		return out.String(), err
	}
	all["required"] = func(message string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, errors.New(message)
		}
		return value, nil
	}
	all["fail"] = func(message string) (string, error) { return "", errors.New(message) }
	all["lookup"] = func(version, kind, namespace, name string) map[string]interface{} {
		return lookup(objects, version, kind, namespace, name)
	}
	return all
}

func render(root string, asked request) (map[string]string, error) {
	sources, other, chart, err := readChart(root)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(strings.TrimPrefix(asked.KubeVersion, "v"), ".")
	version := kubeVersion{asked.KubeVersion, parts[0], parts[1]}
	name := fmt.Sprint(chart["Name"])
	all := template.New(name).Option("missingkey=zero")
	all.Funcs(functions(all, asked.Objects))
	names := make([]string, 0, len(sources))
	for file := range sources {
		names = append(names, file)
	}
	sort.Strings(names)
	for _, file := range names {
		if _, err := all.New(name + "/" + file).Parse(sources[file]); err != nil {
			return nil, err
		}
	}
	texts := map[string]string{}
	for _, file := range names {
		if strings.HasPrefix(path.Base(file), "_") {
			continue
		}
		var out bytes.Buffer
		err := all.ExecuteTemplate(&out, name+"/"+file, map[string]interface{}{
			"Values": asked.Values, "Release": asked.Release, "Chart": chart, "Files": other,
			"Capabilities": map[string]interface{}{"KubeVersion": version, "APIVersions": versionSet(asked.APIVersions)},
			"Template":     map[string]interface{}{"Name": name + "/" + file, "BasePath": name + "/templates"},
		})
		if err != nil {
			return nil, err
		}
		texts[file] = strings.ReplaceAll(out.String(), "<no value>", "")
	}
	return texts, nil
}

func main() {
	var asked request
	answer := map[string]interface{}{}
	err := json.NewDecoder(os.Stdin).Decode(&asked)
	if err == nil {
		answer["texts"], err = render(os.Args[1], asked)
	}
	if err != nil {
		answer["error"] = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
