FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install --no-cache-dir -c constraints.txt .
COPY . .
RUN useradd --system --no-create-home twit
USER twit
EXPOSE 8000
CMD ["python", "-m", "twit.web", "--host", "0.0.0.0", "--workers", "2"]
