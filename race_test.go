//go:build race

package latchkey_test

const raceDetector = true
