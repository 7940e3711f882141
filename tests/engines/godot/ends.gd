# Godot's WebSocketClient against `ends server` at URL, a connection for each case: prints `ok ...` or `FAIL ...`, a line a check.
extends SceneTree

# The target, and what must happen there.
var cases = [
	["/told", "open, text 0, binary 0, text 4, asked 4005 the server's reason, closed clean"],
	["/asked", "open, text 5, closed unclean"],  # Godot 3 calls an end after its own Close unclean, whoever the server is
	["/none", "refused"],
	["/refused", "refused"],
]
var client
var happened = PoolStringArray()
var frames = 0
var ended = false

func _init():
	connect_next()

func connect_next():
	happened = PoolStringArray()
	frames = 0
	ended = false
	client = WebSocketClient.new()
	client.connect("connection_established", self, "_opened")
	client.connect("data_received", self, "_received")
	client.connect("server_close_request", self, "_close_asked")
	client.connect("connection_closed", self, "_closed")
	client.connect("connection_error", self, "_refused")
	if client.connect_to_url(OS.get_environment("URL") + cases[0][0], PoolStringArray(["chat"])) != OK:
		_refused()

func _opened(_protocol):
	happened.append("open")

func _received():
	var peer = client.get_peer(1)
	while peer.get_available_packet_count() > 0:
		var packet = peer.get_packet()
		happened.append("%s %d" % ["text" if peer.was_string_packet() else "binary", packet.size()])
		if packet.get_string_from_utf8() == "close":
			client.disconnect_from_host(4001, "the client's reason")

func _close_asked(code, reason):
	happened.append("asked %d %s" % [code, reason])

func _closed(clean):
	happened.append("closed clean" if clean else "closed unclean")
	end()

func _refused():
	happened.append("refused")
	end()

func end():
	var got = happened.join(", ")
	print("ok " if got == cases[0][1] else "FAIL ", "Godot's client at ", cases[0][0], ": ", got)
	cases.pop_front()
	ended = true

func _idle(_delta):
	if not ended:
		client.poll()
		frames += 1
		if frames > 1500:
			happened.append("and no end")
			end()
	elif cases.empty():
		quit()
	else:
		connect_next()
