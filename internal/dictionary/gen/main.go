// Gen writes words.txt, the list of package dictionary.
//
//	go run ./internal/dictionary/gen frequency_lists.coffee > internal/dictionary/words.txt
//
// The argument is the file src/frequency_lists.coffee of the npm package zxcvbn 4.4.2.
// Its checksum is compared. The passwords in it are in the order of their frequency.
// The first 10,000 are taken.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
)

const (
	checksum = "664d32190713e42b7726072a5cf7533bd4a469e5588c7c1bd2ff9485cdf83276"
	count    = 10_000
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: gen frequency_lists.coffee")
	}
	source, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if sum := sha256.Sum256(source); hex.EncodeToString(sum[:]) != checksum {
		log.Fatal("the file is not of zxcvbn 4.4.2")
	}
	_, list, _ := strings.Cut(string(source), `passwords: "`)
	list, _, found := strings.Cut(list, `"`)
	words := strings.Split(strings.ToLower(list), ",")
	if !found || len(words) < count {
		log.Fatal("no list of passwords in the file")
	}
	words = words[:count]
	slices.Sort(words)
	words = slices.Compact(words)
	if len(words) != count {
		log.Fatalf("%d different words", len(words))
	}
	fmt.Println(strings.Join(words, "\n"))
}
