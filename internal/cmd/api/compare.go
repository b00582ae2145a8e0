package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// change is a difference between two APIs.
type change struct {
	breaks bool
	where  string // the package, and the type of a member
	what   string
}

func (c change) String() string {
	kind := "added"
	if c.breaks {
		kind = "BREAK"
	}
	return fmt.Sprintf("%s %s: %s", kind, c.where, c.what)
}

var declaration = regexp.MustCompile(`^(?:(const|func|type|var) (\w+)|func \(\*?(\w+)[^)]*\) (\w+))`)

// keyOf returns the key of a declaration, which says its kind and its name. The methods of a type are
// sorted after it. It is "" for a line that is no declaration.
func keyOf(line string) string {
	m := declaration.FindStringSubmatch(line)
	switch {
	case m == nil:
		return ""
	case m[3] != "":
		return "type " + m[3] + "." + m[4]
	}
	return m[1] + " " + m[2]
}

// parse reads the text of a file: the declarations of each package, by their keys.
func parse(text string) (packages map[string]map[string]item, err error) {
	packages = make(map[string]map[string]item)
	var pkg, key string
	for i, line := range strings.Split(text, "\n") {
		path, isPackage := strings.CutPrefix(line, "package ")
		member, isMember := strings.CutPrefix(line, "\t")
		switch {
		case line == "" || line[0] == '#':
		case isPackage:
			pkg, key = path, ""
			packages[pkg] = make(map[string]item)
		case isMember && key != "":
			it := packages[pkg][key]
			it.members = append(it.members, member)
			packages[pkg][key] = it
		case pkg != "" && keyOf(line) != "":
			key = keyOf(line)
			packages[pkg][key] = item{line: line}
		default:
			return nil, fmt.Errorf("line %d is not one of an API: %q", i+1, line)
		}
	}
	return packages, nil
}

// compare returns the differences between two texts, sorted by the places.
func compare(was, is string) (changes []change, err error) {
	old, err := parse(was)
	if err != nil {
		return nil, err
	}
	now, err := parse(is)
	if err != nil {
		return nil, err
	}
	for pkg, items := range old {
		if now[pkg] == nil {
			changes = append(changes, change{true, pkg, "the package was removed"})
			continue
		}
		changes = append(changes, compareItems(pkg, items, now[pkg])...)
	}
	for pkg := range now {
		if old[pkg] == nil {
			changes = append(changes, change{false, pkg, "the package"})
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int {
		return cmp.Or(strings.Compare(a.where, b.where), strings.Compare(a.what, b.what))
	})
	return changes, nil
}

// compareItems returns the differences between the declarations of a package.
func compareItems(pkg string, old, now map[string]item) (changes []change) {
	for _, key := range slices.Sorted(maps.Keys(old)) {
		was := old[key]
		is, there := now[key]
		switch {
		case !there:
			changes = append(changes, change{true, pkg, was.line + ": was removed"})
		case was.line != is.line:
			changes = append(changes, change{true, pkg, was.line + ": is now " + is.line})
		default:
			changes = append(changes, compareMembers(pkg+": "+was.line, was, is)...)
		}
	}
	for key, is := range now {
		if _, there := old[key]; !there {
			changes = append(changes, change{false, pkg, is.line})
		}
	}
	return changes
}

// memberKey returns the name of a field or of a method of an interface, and another member as it is.
func memberKey(line string) string {
	if line[0] < 'A' || line[0] > 'Z' {
		return line
	}
	return line[:strings.IndexAny(line+" ", " (")]
}

// compareMembers returns the differences between the members of a declaration whose line is the same.
func compareMembers(where string, was, is item) (changes []change) {
	now := make(map[string]string)
	for _, m := range is.members {
		now[memberKey(m)] = m
	}
	var common []string // in their former order
	for _, m := range was.members {
		key := memberKey(m)
		switch line, there := now[key]; {
		case there && line == m:
			common = append(common, m)
		case there:
			changes = append(changes, change{true, where, m + ": is now " + line})
		case strings.HasPrefix(m, deprecated):
			changes = append(changes, change{false, where, "not " + m})
		default:
			changes = append(changes, change{true, where, m + ": was removed"})
		}
		delete(now, key)
	}
	for _, m := range is.members {
		if now[memberKey(m)] != "" {
			changes = append(changes, change{isDemand(was, m), where, m})
		}
	}
	kept := slices.DeleteFunc(slices.Clone(is.members), func(m string) bool { return !slices.Contains(common, m) })
	if !slices.Equal(common, kept) {
		changes = append(changes, change{true, where, "the fields have another order"})
	}
	return changes
}

// isDemand reports whether a new member of an interface is one that the implementations of hosts
// lack.
func isDemand(was item, member string) bool {
	return strings.HasSuffix(was.line, " interface") && !slices.Contains(was.members, sealed) && !strings.HasPrefix(member, deprecated)
}
