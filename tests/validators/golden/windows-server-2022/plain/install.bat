@echo off
rem What Windows PE runs for plain: it reports the start, finds the disk, divides it, unpacks the image onto
rem it, puts the answers in and reports again. curl.exe lies beside it, put there with the boot files.
setlocal
set log=X:\bootwright.log
echo Bootwright: plain >%log%
wpeinit
wpeutil WaitForNetwork >nul
wpeutil UpdateBootInfo >nul
call :report http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/started "Windows PE has started"

rem --- the disk: nothing is written before there is exactly one that is meant
set disk=
set trouble=there is no fixed disk
set count=0
set best=
set seen=
echo list disk>X:\list.txt
for /f "tokens=2,4,5" %%a in ('diskpart /s X:\list.txt ^| findstr /r /c:"^  Disk [0-9]"') do call :look %%a %%b %%c
if %count%==1 set disk=%last%
if %count% gtr 1 set trouble=there are %count% disks, and vars.disk does not say which
if not defined disk call :stop "nothing was written to any disk: %trouble%. Disks:%seen%"
call :report http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/progress "installing on disk %disk%"

rem --- partitions, for the firmware that has started this
set firmware=BIOS
for /f "tokens=3" %%f in ('reg query HKLM\System\CurrentControlSet\Control /v PEFirmwareType ^| findstr PEFirmwareType') do if "%%f"=="0x2" set firmware=UEFI
>X:\divide.txt echo select disk %disk%
>>X:\divide.txt echo clean
if %firmware%==UEFI (
    >>X:\divide.txt echo convert gpt
    >>X:\divide.txt echo create partition efi size=260
    >>X:\divide.txt echo format quick fs=fat32 label=System
    >>X:\divide.txt echo assign letter=S
    >>X:\divide.txt echo create partition msr size=16
) else (
    >>X:\divide.txt echo convert mbr
    >>X:\divide.txt echo create partition primary size=500
    >>X:\divide.txt echo format quick fs=ntfs label=System
    >>X:\divide.txt echo assign letter=S
    >>X:\divide.txt echo active
)
>>X:\divide.txt echo create partition primary
>>X:\divide.txt echo format quick fs=ntfs label=Windows
>>X:\divide.txt echo assign letter=W
diskpart /s X:\divide.txt >>%log% 2>&1 || call :stop "the disk could not be divided"

rem --- the image
call :report http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/progress "fetching the image"
set image=W:\install.wim
curl.exe -fsS --retry 5 -C - -o %image% "http://10.99.0.2:8080/assets/windows/server-2022/x86_64/install.wim" >>%log% 2>&1 || call :stop "the image could not be fetched"
call :report http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/progress "unpacking the image"
dism.exe /Apply-Image /ImageFile:%image% /Index:1 /ApplyDir:W:\ >>%log% 2>&1 || call :stop "the image could not be unpacked"
del /q %image%

rem --- the new system: its answers, the report of its first start, its boot loader
mkdir W:\Windows\Panther 2>nul
mkdir W:\Windows\Setup\Scripts 2>nul
curl.exe -fsS --retry 5 -o W:\Windows\Panther\unattend.xml http://10.99.0.2:8080/answers/abcdefghijklmnopqrstuvwxyz/autounattend.xml >>%log% 2>&1 || call :stop "the answers could not be fetched"
curl.exe -fsS --retry 5 -o W:\Windows\Setup\Scripts\bootwright-up.cmd http://10.99.0.2:8080/answers/abcdefghijklmnopqrstuvwxyz/up.cmd >>%log% 2>&1 || call :stop "the report of the first start could not be fetched"
if not exist W:\Windows\System32\curl.exe copy X:\Windows\System32\curl.exe W:\Windows\System32\curl.exe >>%log% 2>&1
bcdboot W:\Windows /s S: /f %firmware% >>%log% 2>&1 || call :stop "the boot loader could not be installed"

call :send
call :report http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/installed "installed"
wpeutil reboot
exit /b

rem --- look NUMBER SIZE UNIT: counts a disk that may be meant, and remembers it in `last`
:look
rem A reader without a medium has two words where others have one.
echo %2|findstr /r "^[0-9][0-9]*$" >nul || exit /b
set seen=%seen% %1 (%2 %3)
>X:\detail.txt echo select disk %1
>>X:\detail.txt echo detail disk
diskpart /s X:\detail.txt >X:\disk%1.txt
rem No disk on USB, and none that is read-only.
findstr /r /i /c:"^Type *: USB" X:\disk%1.txt >nul && exit /b
findstr /r /i /c:"^Current Read-only State *: Yes" X:\disk%1.txt >nul && exit /b
set /a count+=1
set last=%1
exit /b

rem --- report URL MESSAGE
:report
echo Bootwright: %~2
echo %~2 >>%log%
curl.exe -fsS -m 30 --retry 3 -o nul --data-urlencode "message=%~2" %1
exit /b

rem --- the logs, as far as they are there
:send
curl.exe -fsS -m 60 -o nul -H "Content-Type: text/plain" --data-binary @%log% http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/logs/install.log
if exist X:\Windows\Logs\DISM\dism.log curl.exe -fsS -m 60 -o nul -H "Content-Type: text/plain" --data-binary @X:\Windows\Logs\DISM\dism.log http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/logs/dism.log
exit /b

rem --- stop MESSAGE: nothing more is done on this machine until somebody comes or it is started again
:stop
call :report http://10.99.0.2:8080/report/abcdefghijklmnopqrstuvwxyz/failed "%~1"
call :send
:wait
echo Bootwright: %~1
cmd.exe
goto wait
