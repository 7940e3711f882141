"""A reverse proxy in front of our echo server: proxy.py NAME FOLDER server PORT MODE, with UPSTREAM's port. How: tests/interop/run."""
import os
import pathlib
import socket
import subprocess
import sys
import time

name, folder, _, port, mode = sys.argv[1:]
folder = pathlib.Path(folder) / f"{name}-{mode}"
folder.mkdir(parents=True, exist_ok=True)
upstream = os.environ["UPSTREAM"]

CONFIGURATIONS = {
    "nginx": f"""daemon off; pid {folder}/pid; error_log {folder}/log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_read_timeout 60s;
    }}
  }}
}}
""",
    "haproxy": f"""defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel 60s
frontend here
  bind 127.0.0.1:{port}
  default_backend there
backend there
  server echo 127.0.0.1:{upstream}
""",
    "apache2": f"""ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
ErrorLog {folder}/log
Listen 127.0.0.1:{port}
Mutex file:{folder} default
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule proxy_wstunnel_module /usr/lib/apache2/modules/mod_proxy_wstunnel.so
ProxyPass / ws://127.0.0.1:{upstream}/
""",
}
COMMANDS = {
    "nginx": ["nginx", "-c", folder / "configuration", "-p", folder],
    "haproxy": ["haproxy", "-f", folder / "configuration"],
    "apache2": ["apache2", "-f", folder / "configuration", "-DFOREGROUND"],
}

(folder / "configuration").write_text(CONFIGURATIONS[name])
os.environ["PATH"] += ":/usr/sbin"
process = subprocess.Popen([str(c) for c in COMMANDS[name]])
for _ in range(100):
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", int(port))) == 0:
            print("listening", flush=True)
            break
    time.sleep(0.1)
sys.exit(process.wait())
