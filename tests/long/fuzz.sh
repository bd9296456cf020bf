# The fuzz targets for a minute and a half each (tests/fuzz.sh).
# timeout: 3000
FUZZ_SECONDS=${FUZZ_SECONDS:-90} bash "$TOP/tests/fuzz.sh"
