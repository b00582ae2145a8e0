package templates

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/language"
)

// wanted returns the languages of a locale, the most wanted first. The locale is one tag, or a
// list as in Accept-Language (RFC 9110, 12.5.4). Entries that cannot be read are left out, and
// so is the star, which stands for the host's own language.
func wanted(locale string) (tags []language.Tag) {
	type entry struct {
		tag     language.Tag
		quality float64
	}
	var entries []entry
	list := strings.Split(locale, ",")
	for i, text := range list {
		name, parameters, _ := strings.Cut(text, ";")
		quality := qualityOf(parameters)
		if quality == 0 && i+1 < len(list) && isFraction(list[i+1]) { // q=0,9 for q=0.9
			quality = qualityOf(parameters + "." + strings.TrimSpace(list[i+1]))
		}
		if tag := tagOf(name); tag != language.Und && quality > 0 {
			entries = append(entries, entry{tag, quality})
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		switch {
		case a.quality > b.quality:
			return -1
		case a.quality < b.quality:
			return 1
		}
		return 0
	})
	for _, e := range entries {
		tags = append(tags, e.tag)
	}
	return tags
}

// tagOf returns the language of an entry: of a tag, of the part of a tag that can be read, or of
// the name of a POSIX locale such as de_DE.UTF-8. It is Und if nothing can be read.
func tagOf(name string) language.Tag {
	name, _, _ = strings.Cut(strings.TrimSpace(name), ".")
	name, _, _ = strings.Cut(name, "@")
	tag, _ := language.Parse(name) // beside an error, the part that could be read
	if base, _ := tag.Base(); base.String() == "und" {
		return language.Und
	}
	return tag
}

// qualityOf returns the q of the parameters of an entry, at most 1. It is 1 without one, and if
// it cannot be read.
func qualityOf(parameters string) float64 {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, found := strings.Cut(p, "=")
		if !found || !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		value = strings.TrimSpace(value)
		if end := strings.IndexFunc(value, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); end >= 0 {
			value = value[:end]
		}
		if q, err := strconv.ParseFloat(value, 64); err == nil {
			return min(q, 1)
		}
	}
	return 1
}

// isFraction reports whether an entry is the fraction of a number with a comma.
func isFraction(entry string) bool {
	digits, _, _ := strings.Cut(strings.TrimSpace(entry), ";")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// rightToLeft are the scripts that are written from right to left.
var rightToLeft = []string{"Adlm", "Arab", "Hebr", "Mand", "Mend", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa", "Yezi"}

// direction returns the direction of a language for the attribute dir of HTML: rtl or ltr.
func direction(locale string) string {
	script, _ := language.Make(locale).Script()
	if slices.Contains(rightToLeft, script.String()) {
		return "rtl"
	}
	return "ltr"
}
