// gorilla/websocket as a client and as an echo server. How: tests/interop/run.
package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/gorilla/websocket"
)

func check(good bool, name string, why interface{}) {
	if good {
		fmt.Println("ok", name)
	} else {
		fmt.Printf("FAIL %s: %v\n", name, why)
	}
}

func letters(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(97 + i*i%23)
	}
	return b
}

func client(url string, deflate bool) {
	closes := []struct {
		code   int
		reason string
	}{{4001, "own reason"}, {1000, "done"}}
	for _, end := range closes {
		dialer := websocket.Dialer{EnableCompression: deflate}
		c, response, err := dialer.Dial(url, nil)
		check(err == nil, "opening handshake", err)
		agreed := strings.Contains(response.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
		check(agreed == deflate, fmt.Sprint("permessage-deflate: ", agreed), "")
		for _, kind := range []int{websocket.TextMessage, websocket.BinaryMessage} {
			for _, size := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
				sent := letters(size)
				err := c.WriteMessage(kind, sent)
				was, got, failed := c.ReadMessage()
				check(err == nil && failed == nil && was == kind && bytes.Equal(got, sent), fmt.Sprint("kind ", kind, ", size ", size), failed)
			}
		}
		c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(end.code, end.reason))
		_, _, err = c.ReadMessage()
		check(websocket.IsCloseError(err, end.code), fmt.Sprint("closed by ", end.code), err)
		c.Close()
	}
}

func main() {
	deflate := os.Args[3] == "deflate"
	if os.Args[1] == "client" {
		client(os.Args[2], deflate)
		return
	}
	upgrader := websocket.Upgrader{EnableCompression: deflate}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, message, err := c.ReadMessage()
			if end, is := err.(*websocket.CloseError); is {
				fmt.Println("closed", end.Code, end.Text)
			}
			if err != nil {
				return
			}
			c.WriteMessage(kind, message)
		}
	})
	fmt.Println("listening")
	fmt.Println(http.ListenAndServe("127.0.0.1:"+os.Args[2], nil))
}
