@echo off
rem Run once, at the first logon: tells the boot server that plain is up.
for /l %%i in (1,1,20) do (
    curl.exe -fsS -m 20 -o nul --data-urlencode "message=up" http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/up && goto done
    ping -n 16 127.0.0.1 >nul
)
:done
rem They hold passwords, and the token of this installation.
del /q C:\Windows\Panther\unattend.xml 2>nul
reg delete "HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon" /v DefaultPassword /f >nul 2>&1
reg delete "HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon" /v AutoAdminLogon /f >nul 2>&1
del /q "%~f0"
