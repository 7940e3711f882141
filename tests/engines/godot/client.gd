# Godot's WebSocketClient against the echo server at URL: prints `ok ...` or `FAIL ...`, a line a check.
extends SceneTree

var client = WebSocketClient.new()
var samples = []
var frames = 0
var done = false

func letters(n):
	var bytes = PoolByteArray()
	for i in range(n):
		bytes.append(97 + i % 23)
	return bytes

func check(good, name):
	print("ok " if good else "FAIL ", "Godot's client: ", name)

func _init():
	# No empty ones: Godot 3 sends none.
	for size in [1, 125, 126, 65535, 65536, 300000]:
		samples.append([size, WebSocketPeer.WRITE_MODE_BINARY])
		samples.append([size, WebSocketPeer.WRITE_MODE_TEXT])
	client.set_buffers(1024, 64, 1024, 64)
	client.connect("connection_established", self, "_opened")
	client.connect("data_received", self, "_received")
	client.connect("connection_closed", self, "_closed")
	client.connect("connection_error", self, "_failed")
	client.connect("server_close_request", self, "_close_asked")
	if client.connect_to_url(OS.get_environment("URL"), PoolStringArray(["chat"])) != OK:
		_failed()

func _opened(protocol):
	check(protocol == "chat", "opened, with the subprotocol")
	send_next()

func send_next():
	if samples.empty():
		client.disconnect_from_host(4001, "done")
		return
	var peer = client.get_peer(1)
	peer.set_write_mode(samples[0][1])
	peer.put_packet(letters(samples[0][0]))

func _received():
	var peer = client.get_peer(1)
	while peer.get_available_packet_count() > 0:
		var text = samples[0][1] == WebSocketPeer.WRITE_MODE_TEXT
		var got = peer.get_packet()
		check(got == letters(samples[0][0]) and peer.was_string_packet() == text, "%d bytes, %s" % [samples[0][0], "text" if text else "binary"])
		samples.pop_front()
		send_next()

func _close_asked(_code, _reason):
	pass

func _closed(_clean):  # Godot 3 calls an end after its own Close unclean, whoever the server is
	check(samples.empty(), "closed behind everything")
	done = true

func _failed():
	check(false, "connected")
	done = true

func _idle(_delta):
	client.poll()
	frames += 1
	if frames > 3000 and not done:
		check(false, "came to an end")
		done = true
	if done:
		quit()
