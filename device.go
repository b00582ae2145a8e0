package latchkey

import (
	"encoding/json"
	"strings"

	"example.com/latchkey/internal/agent"
)

// Device describes a client: the content of its user agent and the country of its
// address, both determined once, at sign-in. Unknown fields are "".
type Device struct {
	OSCode              string `json:"osCode,omitempty"` // WIN, MAC, LIN, AND, IOS
	OSName              string `json:"osName,omitempty"`
	OSVersion           string `json:"osVersion,omitempty"`
	ClientType          string `json:"clientType,omitempty"` // browser, or bot
	ClientCode          string `json:"clientCode,omitempty"` // CH, FF, SF
	ClientName          string `json:"clientName,omitempty"`
	ClientVersion       string `json:"clientVersion,omitempty"`
	ClientEngine        string `json:"clientEngine,omitempty"` // Blink, Gecko, WebKit
	ClientEngineVersion string `json:"clientEngineVersion,omitempty"`
	DeviceName          string `json:"deviceName,omitempty"` // desktop, smartphone or tablet
	DeviceBrand         string `json:"deviceBrand,omitempty"`
	DeviceModel         string `json:"deviceModel,omitempty"`
	CountryCode         string `json:"countryCode,omitempty"` // of the address, ISO 3166-1 alpha-2 in lower case
}

// String names the client and the system in a few words.
func (d Device) String() string {
	words := strings.Fields(d.ClientName + " " + d.ClientVersion)
	if d.OSName != "" {
		words = append(words, "on", d.OSName)
	}
	if len(words) == 0 {
		return "unknown device"
	}
	return strings.Join(words, " ")
}

// device returns the device that the client's user agent names.
func (c Client) device() Device {
	a := agent.Parse(c.UserAgent)
	return Device{
		OSCode: a.OSCode, OSName: a.OSName, OSVersion: a.OSVersion,
		ClientType: a.ClientType, ClientCode: a.ClientCode, ClientName: a.ClientName, ClientVersion: a.ClientVersion,
		ClientEngine: a.ClientEngine, DeviceName: a.DeviceName, DeviceBrand: a.DeviceBrand, DeviceModel: a.DeviceModel,
	}
}

// encode returns the device as it is stored.
func (d Device) encode() string {
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // never: it holds only texts
	}
	return string(b)
}

// decodeDevice reads a stored device.
func decodeDevice(text string) (d Device, err error) {
	err = json.Unmarshal([]byte(text), &d)
	return d, err
}
